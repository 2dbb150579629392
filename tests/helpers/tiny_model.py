"""Small .tflite models for tests, put together with LiteRT's schema: no TensorFlow, made in milliseconds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIZE = 8
Form = Literal["quantised", "float", "int8", "uint8"]


@dataclass(frozen=True)
class Step:
    """Quantisation of a tensor: real = (integer − zero_point) · scale."""

    scale: Any
    zero_point: int = 0
    axis: int = 0


class _Graph:
    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, shape: list[int], kind: int, step: Step | None = None, data: np.ndarray | None = None) -> int:
        tensor = schema.TensorT()
        tensor.name = f"tensor_{len(self.graph.tensors)}"
        tensor.shape, tensor.type = np.asarray(shape, np.int32), kind
        if step is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.asarray(step.scale, np.float32))
            tensor.quantization.zeroPoint = np.full(len(tensor.quantization.scale), step.zero_point, np.int64)
            tensor.quantization.quantizedDimension = step.axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name: str, inputs: list[int], output: int, options: Any = None, version: int = 1) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = version
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)

    def bytes(self, source: int, result: int) -> bytes:
        self.graph.inputs, self.graph.outputs = [source], [result]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def model_bytes(classes: int = 10, form: Form = "quantised", batch: int = 1) -> bytes:
    """Return a classifier of 8×8 grey pictures: convolution (3×3, 4 channels, stride 2), dense, softmax.

    Args:
        classes: outputs.
        form: quantised: float input and output, int8 convolution and dense, float softmax, as the optimise stage
            writes; float: nothing quantised; int8: input and output are int8, no softmax; uint8: all of it,
            with a softmax in steps of 1/256, as TensorFlow's converter wrote models before there was int8.
        batch: of the input's shape; −1 leaves it open.
    """
    rng = np.random.default_rng(7)
    g, types, features = _Graph(), schema.TensorType, 4 * (SIZE // 2) ** 2
    quantised = form != "float"
    first = 128 if form == "uint8" else 0  # what uint8 has above int8
    whole = types.UINT8 if form == "uint8" else types.INT8
    kind = whole if quantised else types.FLOAT32
    kernel, matrix = rng.normal(0, 0.5, (4, 3, 3, 1)), rng.normal(0, 0.3, (classes, features))
    picture, middle, logits = (Step(scale, at + first) for scale, at in ((1 / 64, 3), (1 / 32, -128), (1 / 16, 5)))

    def weights(values: np.ndarray, source: Step) -> tuple[int, int]:
        if not quantised:
            zeros = np.zeros(len(values), np.float32)
            return (
                g.tensor(list(values.shape), types.FLOAT32, data=values.astype(np.float32)),
                g.tensor([len(values)], types.FLOAT32, data=zeros),
            )
        scales = np.abs(values).reshape(len(values), -1).max(axis=1) / 127
        if form == "uint8":  # one scale a tensor is all that there was
            scales = np.full(len(values), scales.max())
        integers = np.rint(values / scales.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        bias = rng.integers(-500, 500, len(values)).astype(np.int32)
        if form == "uint8":
            step_ = float(scales[0])
            return (
                g.tensor(
                    list(values.shape), whole, Step(step_, first), (integers.astype(np.int32) + first).astype(np.uint8)
                ),
                g.tensor([len(values)], types.INT32, Step(step_ * source.scale), bias),
            )
        return (
            g.tensor(list(values.shape), types.INT8, Step(scales), integers),
            g.tensor([len(values)], types.INT32, Step(scales * source.scale), bias),
        )

    def step(value: Step) -> Step | None:
        return value if quantised else None

    shape = [batch, SIZE, SIZE, 1]
    integers_in = form in ("int8", "uint8")
    source = g.tensor(shape, kind if integers_in else types.FLOAT32, picture if integers_in else None)
    at = source
    if form == "quantised":
        at = g.tensor(shape, kind, picture)
        g.operator("QUANTIZE", [source], at, schema.QuantizeOptionsT())
    convolution = schema.Conv2DOptionsT()
    convolution.strideH = convolution.strideW = 2
    convolution.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    made = g.tensor([batch, SIZE // 2, SIZE // 2, 4], kind, step(middle))
    g.operator("CONV_2D", [at, *weights(kernel, picture)], made, convolution, version=3 if kind == types.INT8 else 1)
    flat = g.tensor([batch, features], kind, step(middle))
    reshape = schema.ReshapeOptionsT()
    reshape.newShape = np.asarray([1, features], np.int32)
    new_shape = g.tensor([2], types.INT32, data=np.asarray([1, features], np.int32))
    g.operator("RESHAPE", [made, new_shape], flat, reshape)
    at = g.tensor([batch, classes], kind, step(logits))
    dense = schema.FullyConnectedOptionsT()
    g.operator("FULLY_CONNECTED", [flat, *weights(matrix, middle)], at, dense, version=4 if kind == types.INT8 else 1)
    if form == "quantised":
        real = g.tensor([batch, classes], types.FLOAT32)
        g.operator("DEQUANTIZE", [at], real, schema.DequantizeOptionsT())
        at = real
    if form != "int8":
        softmax = schema.SoftmaxOptionsT()
        softmax.beta = 1.0
        result = g.tensor([batch, classes], *((kind, Step(1 / 256)) if form == "uint8" else (types.FLOAT32,)))
        g.operator("SOFTMAX", [at], result, softmax)
        at = result
    return g.bytes(source, at)


def write_model(folder: Path, classes: int = 10, form: Form = "quantised") -> Path:
    """Write a model folder as the optimise stage leaves it, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(model_bytes(classes, form))
    (folder / "labels.txt").write_text("".join(f"class {i}\n" for i in range(classes)))
    specification = {"size": SIZE, "resize": "stretch", "channels": 1, "mean": [127.5], "std": [127.5]}
    (folder / "preprocessing.json").write_text(json.dumps(specification))
    return folder
