"""Quantised ONNX models (QDQ): integers, scales and biases stay as they are, and the int8 model computes the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import QuantType

from helpers import numpy_network
from helpers.numpy_network import execute
from helpers.onnx_models import OnnxModel, quantised, session_outputs, shufflenet
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.models.onnx.quantised_graph import QuantisedOnnx, quantised_onnx
from qatflow.models.onnx.translate import float_onnx
from qatflow.optimize.narrow import kernel_widths
from qatflow.optimize.ready import adopt
from qatflow.tflite.lower import Converted, convert
from qatflow.tflite.read import WEIGHTED, Operator, operators
from qatflow.tflite.run import Model
from qatflow.tflite.tensors import Tensors
from qatflow.tflite.verify import verify

SIZE = 12


def network() -> onnx.ModelProto:
    """Convolutions of all kinds, a sum, a pool, a join, a gate and a dense layer, with a softmax behind it."""
    b = OnnxModel(size=SIZE)
    x = b.relu6(b.conv("input", 8, 3, stride=2, pad=1))
    x = b.conv(b.node("Relu", [b.conv(x, 8, 3, pad=1, group=8)]), 6)
    x = b.node("Relu", [b.node("Add", [x, b.conv(x, 6, 3, pad=1)])])
    x = b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = b.node("Concat", [x, b.conv(x, 6)], 12, axis=1)
    x = b.squeeze_excite(x, "Sigmoid")
    x = b.norm(b.node("Add", [x, b.conv(x, 12)]))
    x = b.node("LeakyRelu", [x], alpha=0.1)
    return b.model(b.node("Softmax", [b.gemm(b.node("Flatten", [x]), 5, 12 * 9)], axis=-1))


def noise(count: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, SIZE, SIZE, 3)).astype(np.float32)


@dataclass
class Case:
    model: onnx.ModelProto
    graph: QuantisedOnnx
    converted: Converted


FORMS = {
    "uint8, per channel": {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8},
    "int8, per channel": {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8},
    "int8 per tensor": {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": False},
    "symmetric": {
        "activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8,
        "extra_options": {"ActivationSymmetric": True},
    },
    "float weights": {
        "activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8,
        "extra_options": {"AddQDQPairToWeight": True, "QuantizeBias": False},
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=list(FORMS))
def case(request, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("qdq")
    model = quantised(network(), noise(), folder, **FORMS[request.param])
    graph = quantised_onnx(folder / "qdq.onnx")
    return Case(model, graph, convert(graph.graph))


def array(model: onnx.ModelProto, name: str) -> np.ndarray | None:
    return next((numpy_helper.to_array(a) for a in model.graph.initializer if a.name == name), None)


def producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    return next((node for node in model.graph.node if name in node.output), None)


def integers(model: onnx.ModelProto, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scale of a constant behind DequantizeLinear, computed here if the file has it as float."""
    dequantise = producer(model, name)
    assert dequantise is not None and dequantise.op_type == "DequantizeLinear"
    values, scale = array(model, dequantise.input[0]), array(model, dequantise.input[1])
    assert scale is not None
    if values is None:
        quantise = producer(model, dequantise.input[0])
        assert quantise is not None
        real = array(model, quantise.input[0])
        assert real is not None
        axis = next((a.i for a in quantise.attribute if a.name == "axis"), 0)
        shape = [-1 if place == axis else 1 for place in range(real.ndim)] if scale.size > 1 else [1] * real.ndim
        values = np.clip(np.rint(real / scale.reshape(shape)), -128, 127).astype(np.int8)
    return values, scale


def test_parts_and_shuffles_of_channels_and_a_padded_maximum_only_move_integers(tmp_path):
    builder = shufflenet(17, size=SIZE)
    model = quantised(builder.model(builder.result), noise(), tmp_path)
    made = quantised_onnx(tmp_path / "qdq.onnx")
    assert made.in_float == ()
    content = convert(made.graph).content
    found = [operator for operator in operators(content) if operator.name in ("PADV2", "SLICE", "TRANSPOSE", "RESHAPE")]
    assert len(found) >= 1 + 4 + 2 + 4
    for operator in found:
        source, output = operator.inputs[0], operator.outputs[0]
        assert source.dtype == output.dtype == "INT8"
        assert (source.scale, source.zero_point) == (output.scale, output.zero_point)
    step = made.graph.activation_scale(made.graph.outputs[0])
    assert step is not None and step.scale is not None
    difference = Model(content).outputs(noise()) - session_outputs(model, noise())[0]
    assert np.abs(difference).max() <= 1.001 * step.scale


def test_each_kernel_and_bias_has_the_integers_and_scales_of_the_file(case):
    written = {
        operator.inputs[1].name: operator for operator in operators(case.converted.content) if operator.name in WEIGHTED
    }
    layers = [node for node in case.model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 9
    for layer in layers:
        values, scale = integers(case.model, layer.input[1])
        name = case.graph.origin.values[layer.output[0]].node
        node = case.graph.graph.node(name)
        operator: Operator = written[node.kernel]
        kernel, bias = operator.inputs[1], operator.inputs[2]
        if layer.op_type == "Gemm":  # rows in our order: height, width, channels
            values = values.reshape(5, 12, 3, 3).transpose(0, 2, 3, 1).reshape(5, -1)
        elif node.is_depthwise:
            values = values.transpose(1, 2, 3, 0)
        else:
            values = values.transpose(0, 2, 3, 1)
        assert np.array_equal(kernel.data, values) and kernel.dtype == "INT8"
        assert np.array_equal(np.broadcast_to(kernel.scale, scale.shape or (1,)), np.atleast_1d(scale))
        source = operator.inputs[0].scale[0]
        step = np.float64(source) * scale.astype(np.float64)
        dequantised = producer(case.model, layer.input[2])
        if dequantised is not None:
            assert np.array_equal(bias.data, array(case.model, dequantised.input[0]))
        else:
            assert np.array_equal(bias.data, np.rint(array(case.model, layer.input[2]) / step).astype(np.int32))


def test_each_activation_is_that_of_onnxruntime_to_the_integer(case):
    """The graph computed by definition, from the pictures on, against the integers that onnxruntime writes."""
    tensors = {
        node.output[0]: case.graph.origin.values[node.output[0]]
        for node in case.model.graph.node
        if node.op_type == "QuantizeLinear" and array(case.model, node.input[0]) is None
    }
    assert len(tensors) >= 20
    pictures = noise(4, seed=2)
    _, *expected = session_outputs(case.model, pictures, list(tensors))
    own = execute(case.graph.graph, pictures, fake_quant=True)
    for (name, value), integers_there in zip(tensors.items(), expected, strict=True):
        scale, zero = (array(case.model, part) for part in producer(case.model, name).input[1:])
        here = case.graph.graph.activation_scale(value.node)
        shift = 128 if zero.dtype == np.uint8 else 0
        assert (here.scale, here.zero_point) == (float(scale), int(zero) - shift)
        wanted = integers_there.astype(int).transpose([0, *value.axes]) - shift
        wanted = wanted if value.order is None else wanted[..., value.order]
        steps = np.rint(own[value.node] / here.scale).reshape(wanted.shape) + here.zero_point
        # float32 there and float64 here: a value half way between two steps may go either way
        assert np.abs(steps - wanted).max() <= 1 and np.mean(steps != wanted) < 0.005, name


def test_each_int8_kernel_is_within_a_step_of_the_definition(case):
    """Each layer by itself, from the integers that LiteRT computed before it."""
    graph, runs = case.converted.graph, Tensors(case.converted.content)
    checked = 0
    for picture in noise(3, seed=4):
        runs.run(picture)
        real = {node.name: value_of(runs, graph, node.name) for node in graph.nodes}
        for node in graph.nodes:
            scale = graph.activation_scale(node.name)
            if not node.inputs or scale is None or node.name in graph.outputs:
                continue
            exact = numpy_network._compute(graph, node, real[node.inputs[0]], real)
            low, high = ((end - scale.zero_point) * scale.scale for end in (-128, 127))
            difference = np.abs(np.clip(exact, low, high).reshape(real[node.name].shape) - real[node.name])
            assert difference.max() <= 1.01 * scale.scale, node.name
            checked += 1
    assert checked >= 3 * 17


def value_of(runs: Tensors, graph: Graph, name: str) -> np.ndarray:
    """The real values of a node's tensor in LiteRT, float64: of its integers, if it has some."""
    scale = graph.activation_scale(name)
    for key in (f"{name}/int8", name):
        if key in runs.index:
            values = runs.value(key).astype(np.float64)
            integers_there = scale is not None and runs.value(key).dtype == np.int8
            return (values - scale.zero_point) * scale.scale if integers_there else values
    raise KeyError(name)


def test_the_model_as_a_whole_is_that_of_onnxruntime_and_of_numpy(case):
    verify(case.converted.graph, case.converted.content)
    pictures = noise(6, seed=3)
    written = Model(case.converted.content).outputs(pictures)
    expected = session_outputs(case.model, pictures)[0]
    assert np.abs(written - expected).max() <= 2.5 / 256  # steps of the layers, through the softmax
    assert np.ptp(written, axis=0).max() > 10 / 256
    name = case.graph.graph.outputs[0]
    by_definition = execute(case.graph.graph, pictures, fake_quant=True)[name]
    assert np.abs(written - by_definition).max() <= 2.5 / 256


def test_what_runs_in_float_is_listed_with_the_reason(case):
    text = "\n".join(case.graph.in_float)
    assert "Softmax (Softmax): it has no int8 kernel" in text
    assert "(Sigmoid): its int8 kernel writes in steps of 0.00390625" in text
    assert "BatchNormalization/identity (DepthwiseConv2D): its kernel is not quantised" in text
    assert len(case.graph.in_float) == 3
    in_float = [
        operator.name
        for operator in operators(case.converted.content)
        if operator.outputs[0].dtype == "FLOAT32" and operator.name != "DEQUANTIZE"
    ]
    assert sorted(in_float) == ["DEPTHWISE_CONV_2D", "LOGISTIC", "SOFTMAX"]


class Qdq:
    """A convolution between QuantizeLinear and DequantizeLinear, written by hand, with what can be wrong with it."""

    def __init__(self) -> None:
        self.b = OnnxModel(size=SIZE, channels=3)
        self.kernel = np.random.default_rng(5).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
        self.scale: Any = np.float32(0.01)
        self.zero: Any = None
        self.axis = 0
        self.activations = (np.float32(0.05), np.uint8(120))

    def pair(self, source: str, scale: Any = None, zero: Any = None) -> str:
        arrays = [self.b.array(self.activations[0] if scale is None else scale)]
        arrays.append(self.b.array(self.activations[1] if zero is None else zero))
        channels = self.b.channels[source]
        return self.b.node("DequantizeLinear", [self.b.node("QuantizeLinear", [source, *arrays]), *arrays], channels)

    def conv(self, source: str) -> str:
        zero = np.zeros(np.shape(self.scale), self.kernel.dtype) if self.zero is None else self.zero
        arrays = [self.b.array(part) for part in (self.kernel, self.scale, zero)]
        kernel = self.b.node("DequantizeLinear", arrays, axis=self.axis)
        return self.b.node("Conv", [source, kernel], 4, kernel_shape=[3, 3])

    def model(self, behind: Callable[["Qdq", str], str] = lambda q, x: q.pair(x)) -> onnx.ModelProto:
        x = behind(self, self.conv(self.pair("input")))
        return self.b.model(self.b.node("Flatten", [self.b.mean(x)]))


def graph_of(model: onnx.ModelProto, folder: Path) -> QuantisedOnnx:
    onnx.save(model, folder / "net.onnx")
    return quantised_onnx(folder / "net.onnx")


def test_uint8_weights_and_activations_are_shifted_by_128(tmp_path):
    q = Qdq()
    signed = q.kernel
    q.kernel, q.zero = (signed.astype(np.int16) + 128).astype(np.uint8), np.uint8(128)
    graph: Graph = graph_of(q.model(), tmp_path).graph
    (name,) = graph.weight_scales
    assert np.array_equal(graph.weights[name], signed.transpose(2, 3, 1, 0))
    assert {(s.scale, s.zero_point) for s in graph.activation_scales.values()} == {(float(np.float32(0.05)), -8)}


@pytest.mark.parametrize("kind", ["int4", "uint4"])
def test_kernels_of_4_bits_are_the_integers_of_onnxruntime(kind, tmp_path):
    q = Qdq()
    q.b.opset = 21  # the first with 4 bits
    signed = np.random.default_rng(6).integers(-7, 8, q.kernel.shape).astype(np.int8)
    shift = 8 if kind == "uint4" else 0
    q.kernel, q.zero = ((part + shift).astype(getattr(ml_dtypes, kind)) for part in (signed, np.int8(0)))
    model = q.model()
    converted = convert(graph_of(model, tmp_path).graph)
    (kernel,) = (o.inputs[1] for o in operators(converted.content) if o.name == "CONV_2D")
    assert np.array_equal(kernel.data, signed.transpose(0, 2, 3, 1)) and kernel.dtype == "INT8"
    assert kernel_widths(tmp_path / "net.onnx").packs
    pictures = noise(4, seed=3)
    written = Model(converted.content).outputs(pictures)
    assert np.abs(written - session_outputs(model, pictures)[0]).max() <= 0.05, "a step of the convolution"
    q.activations = (np.float32(0.05), q.zero)
    with pytest.raises(UserError, match=f"makes {kind}"):
        graph_of(q.model(), tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q: setattr(q, "zero", np.int8(3)), "quantised asymmetrically (zero point 3)"),
        (lambda q: q.kernel.__setitem__((1, slice(2), 0, 0), -128), "−128 more than once in an output channel"),
        (lambda q: q.__dict__.update(scale=np.full(3, 0.01, np.float32), axis=1), "each of axis 1"),
        (lambda q: setattr(q, "activations", (np.float32(0.05), np.int16(0))), "makes int16"),
        (lambda q: setattr(q, "scale", np.float32(0)), "above 0"),
    ],
)  # fmt: skip
def test_what_no_kernel_can_hold_is_refused_by_name(change, words, tmp_path):
    q = Qdq()
    change(q)
    q.b.opset = 21  # the first with 16 bits
    with pytest.raises(UserError) as error:
        graph_of(q.model(), tmp_path)
    assert words in str(error.value) and ("Conv" in str(error.value) or "Linear" in str(error.value))


def test_the_integer_of_128_below_zero_stays_where_no_kernel_can_overflow(tmp_path):
    q = Qdq()
    q.kernel[:, 0, 0, 0] = -128
    model = q.model()
    converted = convert(graph_of(model, tmp_path).graph)
    (kernel,) = (o.inputs[1] for o in operators(converted.content) if o.name == "CONV_2D")
    assert np.array_equal(kernel.data, q.kernel.transpose(0, 2, 3, 1))
    written, expected = Model(converted.content).outputs(noise(3)), session_outputs(model, noise(3))[0]
    assert np.abs(written - expected).max() <= 1.01 * 0.05


def test_where_it_could_overflow_the_layer_runs_in_float_and_is_listed(tmp_path):
    q = Qdq()
    q.kernel[1, :2, 0, 0] = -128
    first = q.pair(q.conv(q.pair("input")))
    q.kernel = np.random.default_rng(6).integers(-127, 128, (4, 4, 3, 3)).astype(np.int8)
    model = q.b.model(q.b.node("Flatten", [q.b.mean(q.pair(q.conv(first)))]))
    graph = graph_of(model, tmp_path)
    assert any("(Conv2D): its kernel has the integer −128 more than once" in line for line in graph.in_float)
    assert len(graph.graph.weight_scales) == 1
    written, expected = Model(convert(graph.graph).content).outputs(noise(3)), session_outputs(model, noise(3))[0]
    assert np.abs(written - expected).max() <= 1.01 * 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_batch_norm_and_its_inverse_behind_an_integer_kernel_are_folded_into_scale_and_bias(sign, tmp_path):
    """PyTorch divides by batch-norm's factor behind the convolution, and applies batch-norm to that."""
    q = Qdq()
    x = q.conv(q.pair("input"))
    factor = np.random.default_rng(2).uniform(0.5, 2, (1, 4, 1, 1)).astype(np.float32)
    x = q.b.node("Div", [x, q.b.array(sign * factor)])
    parts = [factor.ravel(), np.full(4, 0.3), np.linspace(-1, 1, 4), np.full(4, 1 - 1e-5)]
    x = q.b.node("BatchNormalization", [x, *(q.b.array(part.astype(np.float32)) for part in parts)], epsilon=1e-5)
    model = q.b.model(q.b.node("Flatten", [q.b.mean(q.pair(q.b.node("Relu", [x])))]))
    graph = graph_of(model, tmp_path)
    (name,) = graph.graph.weight_scales
    assert np.array_equal(graph.graph.weights[name], sign * q.kernel.transpose(2, 3, 1, 0))
    assert np.allclose(graph.graph.weight_scales[name].scale, 0.01, rtol=1e-6)
    assert all("GlobalAveragePool" in line for line in graph.in_float)  # which has no scale behind it
    pictures = noise(3)
    written, expected = Model(convert(graph.graph).content).outputs(pictures), session_outputs(model, pictures)[0]
    assert np.abs(written - expected).max() <= 1.01 * 0.05


def both(q: Qdq, x: str) -> str:
    return q.b.node("Add", [q.pair(x), x])


def under_another_name(q: Qdq, x: str) -> str:
    return q.b.node("Add", [q.pair(q.b.node("Identity", [x])), x])


def two_scales(q: Qdq, x: str) -> str:
    return q.b.node("Add", [q.pair(x), q.pair(x, np.float32(0.07))])


@pytest.mark.parametrize("behind", [both, under_another_name, two_scales])
def test_a_tensor_that_is_not_rounded_for_all_its_readers_is_refused(behind, tmp_path):
    with pytest.raises(UserError, match="read without rounding, or with another scale"):
        graph_of(Qdq().model(behind), tmp_path)


def test_a_layer_without_a_scale_behind_it_runs_in_float_with_its_real_kernel(tmp_path):
    q = Qdq()
    first = q.conv(q.pair(q.conv(q.pair("input"))[:0] or "input"))
    q.b.channels[first] = 4
    q.kernel = q.kernel.repeat(2, axis=1)[:, :4]
    second = q.b.node("Tanh", [q.conv(q.pair(first))])
    model = q.b.model(q.b.node("Flatten", [q.b.mean(second)]))
    onnx.save(model, tmp_path / "net.onnx")
    quantised_model = quantised_onnx(tmp_path / "net.onnx")
    text = "\n".join(quantised_model.in_float)
    assert "(Conv2D): its output is not quantised" in text and len(quantised_model.graph.weight_scales) == 1
    pictures = noise(3)
    written = Model(convert(quantised_model.graph).content).outputs(pictures)
    expected = session_outputs(model, pictures)[0]
    assert np.abs(written - expected).max() <= 0.02


def test_a_pool_with_a_scale_of_its_own_runs_in_float_and_computes_the_same(tmp_path):
    def pooled(q: Qdq, x: str) -> str:
        return q.pair(q.b.node("MaxPool", [q.pair(x)], kernel_shape=[2, 2]), np.float32(0.11), np.uint8(90))

    model = Qdq().model(pooled)
    graph = graph_of(model, tmp_path)
    assert any("(MaxPool): its output has another scale" in line for line in graph.in_float)
    pictures = noise(3)
    written, expected = Model(convert(graph.graph).content).outputs(pictures), session_outputs(model, pictures)[0]
    assert np.abs(written - expected).max() <= 0.011


def test_float_and_quantised_files_are_not_taken_for_each_other(tmp_path):
    onnx.save(Qdq().model(), tmp_path / "qdq.onnx")
    with pytest.raises(UserError, match=r"quantised already.*quantized_model.file"):
        float_onnx(tmp_path / "qdq.onnx")
    onnx.save(network(), tmp_path / "float.onnx")
    with pytest.raises(UserError, match=r"is not quantised.*model.file"):
        quantised_onnx(tmp_path / "float.onnx")


def test_operators_with_integers_inside_say_how_to_quantise_instead(tmp_path):
    b = OnnxModel(size=SIZE)
    scale, zero = b.array(np.float32(0.1)), b.array(np.int8(0))
    x = b.node("QuantizeLinear", ["input", scale, zero])
    kernel = b.array(np.ones((4, 3, 1, 1), np.int8))
    x = b.node("QLinearConv", [x, scale, zero, kernel, scale, zero, scale, zero], 4)
    model = b.model(b.node("Flatten", [b.mean(b.node("DequantizeLinear", [x, scale, zero], 4))]))
    with pytest.raises(UserError, match=r"QLinearConv: is quantised in the form QOperator.*QuantFormat.QDQ"):
        graph_of(model, tmp_path)


def test_a_quantised_onnx_file_is_adopted_for_the_device(tmp_path, capsys):
    digits = prepared_digits(tmp_path / "data")
    b = OnnxModel(channels=1, size=32)
    x = b.node("Relu", [b.conv("input", 4, 5, stride=4)])
    model = b.model(b.node("Softmax", [b.classifier(x, 10)], axis=1))
    pictures = np.random.default_rng(0).normal(0, 1, (4, 32, 32, 1)).astype(np.float32)
    model = quantised(model, pictures, tmp_path, activation_type=QuantType.QInt8)
    adopt(tmp_path / "qdq.onnx", digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    about = json.loads((tmp_path / "out" / "optimization.json").read_text())
    assert about["source"].endswith("qdq.onnx") and about["operators_after"]["CONV_2D"] == 1
    assert "runs in float: softmax" in capsys.readouterr().out
    written = Model(tmp_path / "out" / "model.tflite").outputs(pictures)
    assert np.abs(written - session_outputs(model, pictures)[0]).max() <= 1 / 256
