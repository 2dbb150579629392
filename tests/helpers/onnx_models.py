"""ONNX classifiers for tests, written node by node in the patterns in which PyTorch exports them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class OnnxModel:
    """An ONNX model under construction: each method adds a node and returns the name of its output."""

    def __init__(self, channels: int = 3, size: int = 16, seed: int = 0, opset: int = 17, batch: Any = "batch"):
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.result = ""
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: list[onnx.TensorProto] = []
        self.channels: dict[str, int] = {"input": channels}
        self.input = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, size, size])

    def node(self, kind: str, inputs: Sequence[str], channels: int | None = None, **attributes: Any) -> str:
        name = f"/{kind.lower()}{len(self.nodes)}/{kind}"
        output = f"{name}_output_0"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name, **attributes))
        self.channels[output] = self.channels.get(inputs[0], 0) if channels is None else channels
        return output

    def array(self, values: Any, name: str = "array") -> str:
        name = f"{name}{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def floats(self, *shape: int, scale: float = 0.5, shift: float = 0.0) -> str:
        return self.array((self.random.normal(0, scale, shape) + shift).astype(np.float32))

    def conv(
        self, source: str, out: int, window: int = 1, stride: int = 1, pad: int | Sequence[int] = 0,
        group: int = 1, bias: bool = True, dilation: int = 1, **attributes: Any,
    ) -> str:  # fmt: skip
        reads = self.channels[source] // group
        inputs = [source, self.floats(out, reads, window, window, scale=(reads * window**2) ** -0.5)]
        if bias:
            inputs.append(self.floats(out))
        if "auto_pad" not in attributes:
            attributes["pads"] = [pad] * 4 if isinstance(pad, int) else list(pad)
        return self.node(
            "Conv", inputs, out, kernel_shape=[window] * 2, strides=[stride] * 2, dilations=[dilation] * 2,
            group=group, **attributes,
        )  # fmt: skip

    def norm(self, source: str) -> str:
        n = self.channels[source]
        arrays = [self.floats(n, shift=1.0), self.floats(n), self.floats(n)]
        arrays.append(self.array(self.random.uniform(0.3, 2, n).astype(np.float32)))
        return self.node("BatchNormalization", [source, *arrays], epsilon=1e-5, momentum=0.9)

    def split(self, source: str, sizes: Sequence[int]) -> list[str]:
        """Split the channels; return the names of the parts."""
        name = self.node("Split", [source], sizes[0], axis=1, split=list(sizes))
        outputs = [name, *(f"{name}_{place}" for place in range(1, len(sizes)))]
        self.nodes[-1].output.extend(outputs[1:])
        self.channels |= dict(zip(outputs, sizes, strict=True))
        return outputs

    def shuffle(self, source: str, groups: int) -> str:
        """Shuffle the channels as ShuffleNet does: [n, groups, c / groups, h, w], transposed, and back."""
        n = self.channels[source]
        shape = self.node("Shape", [source])
        size = self.node("Slice", [shape, *(self.array(np.asarray([part])) for part in (2, 4))])
        inner = self.node("Concat", [self.array(np.asarray([-1, groups, n // groups])), size], axis=0)
        apart = self.node("Reshape", [source, inner])
        turned = self.node("Transpose", [apart], perm=[0, 2, 1, 3, 4])
        whole = self.node("Concat", [self.array(np.asarray([-1, n])), size], axis=0)
        return self.node("Reshape", [turned, whole], n)

    def relu6(self, source: str) -> str:
        return self.node("Clip", [source, self.array(np.float32(0)), self.array(np.float32(6))])

    def mean(self, source: str) -> str:
        return self.node("GlobalAveragePool", [source])

    def gemm(self, source: str, out: int, reads: int | None = None) -> str:
        reads = reads or self.channels[source]
        inputs = [source, self.floats(out, reads, scale=reads**-0.5), self.floats(out)]
        return self.node("Gemm", inputs, out, alpha=1.0, beta=1.0, transB=1)

    def classifier(self, source: str, classes: int = 5) -> str:
        return self.gemm(self.node("Flatten", [self.mean(source)], axis=1), classes)

    def squeeze_excite(self, source: str, gate: str = "HardSigmoid") -> str:
        n = self.channels[source]
        squeezed = self.conv(self.node("Relu", [self.conv(self.mean(source), 2)]), n)
        attributes: dict[str, Any] = {"alpha": 1 / 6, "beta": 0.5} if gate == "HardSigmoid" else {}
        return self.node("Mul", [self.node(gate, [squeezed], **attributes), source], n)

    def model(self, output: str) -> onnx.ModelProto:
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", "classes"])
        graph = helper.make_graph(self.nodes, "main_graph", [self.input], [result], self.arrays)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def shufflenet(opset: int, channels: int = 3, size: int = 9, classes: int = 5) -> OnnxModel:
    """Channels split in two, by Split or by Slice; joined, shuffled in groups; a padded maximum of negative values."""
    b = OnnxModel(channels, size, opset=opset)
    x = b.node("MaxPool", [b.conv("input", 8, 3)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 2])
    for part, groups in ((4, 2), (2, 4)):
        if opset < 13:
            first, second = b.split(x, [part, 8 - part])
        else:
            sides = [[b.array(np.asarray([end])) for end in ends] for ends in ((0, part, 1), (part, 2**31, 1))]
            first, second = (b.node("Slice", [x, *side]) for side in sides)
        b.channels |= {first: part, second: 8 - part}
        y = b.node("Relu", [b.conv(b.conv(second, 8 - part, 3, pad=1, group=8 - part), 8 - part)])
        x = b.shuffle(b.node("Concat", [first, y], 8, axis=1), groups)
    b.result = b.classifier(x, classes)
    return b


def session_outputs(model: onnx.ModelProto, pictures: np.ndarray, tensors: Sequence[str] = ()) -> list[np.ndarray]:
    """What onnxruntime computes without optimisations, for pictures [n, height, width, channels]: one batch at a time.

    Returns the result, and each of `tensors`, [n, …] in ONNX' order of axes.
    """
    import onnxruntime

    changed = onnx.ModelProto.FromString(model.SerializeToString())
    known = {output.name for output in changed.graph.output}
    changed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(changed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    first = changed.graph.output[0].name
    sizes = [size.dim_value for size in changed.graph.input[0].type.tensor_type.shape.dim[1:]]
    last = tuple(sizes) == pictures.shape[1:]  # the model itself has channels last
    inputs = pictures if last else np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    runs = [session.run([first, *tensors], {changed.graph.input[0].name: picture[None]}) for picture in inputs]
    return [np.concatenate(values) for values in zip(*runs, strict=True)]


def quantised(model: onnx.ModelProto, pictures: np.ndarray, folder: Path, **options: Any) -> onnx.ModelProto:
    """The model with QuantizeLinear and DequantizeLinear, by onnxruntime's static quantisation; pictures as above."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))

        def get_next(self) -> Any:
            picture = next(self.left, None)
            return None if picture is None else {"input": picture[None]}

    onnx.save(model, folder / "float.onnx")
    settings = {"per_channel": True, "quant_format": QuantFormat.QDQ, "extra_options": {"ActivationSymmetric": False}}
    quantize_static(folder / "float.onnx", folder / "qdq.onnx", Pictures(), **(settings | options))
    return onnx.load(folder / "qdq.onnx")
