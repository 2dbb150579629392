"""Float ONNX models in the patterns of exporters: the graph and its .tflite compute what onnxruntime computes."""

import io
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.numpy_network import execute
from helpers.onnx_models import OnnxModel, session_outputs, shufflenet
from helpers.places import ROOT
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.config.load import load_config
from qatflow.config.sections.model import ModelSection
from qatflow.graph.operations import (
    Attention,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Gelu,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    Pad,
    Permute,
    PRelu,
    Reshape,
)
from qatflow.graph.shapes import shapes
from qatflow.graph.written_out import WRITTEN_OUT
from qatflow.models.onnx.check import Fit, float_fit
from qatflow.models.onnx.file import external_files
from qatflow.models.onnx.reference import Reference
from qatflow.models.onnx.translate import TranslatedOnnx, float_onnx
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model


def resnet(opset: int) -> OnnxModel:
    """A stem as of ResNet, with odd sizes, a block with a shortcut, and a strided block."""
    b = OnnxModel(size=17, opset=opset)
    x = b.node("Relu", [b.norm(b.conv("input", 8, 7, stride=2, pad=3, bias=False))])
    x = b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=0)
    y = b.norm(b.conv(b.node("Relu", [b.norm(b.conv(x, 8, 3, pad=1, bias=False))]), 8, 3, pad=1, bias=False))
    x = b.node("Relu", [b.node("Add", [y, x])])
    y = b.conv(b.node("Relu", [b.conv(x, 12, 3, stride=2, pad=1)]), 12, 3, pad=1)
    x = b.node("Relu", [b.node("Add", [y, b.conv(x, 12, 1, stride=2)])])
    b.result = b.classifier(x)
    return b


def mobilenet(opset: int) -> OnnxModel:
    """Inverted residuals with Clip, an even size under a stride of 2, and the mean as ReduceMean."""
    b = OnnxModel(size=16, opset=opset, batch=1)
    x = b.relu6(b.norm(b.conv("input", 8, 3, stride=2, pad=1, bias=False)))
    y = b.conv(b.relu6(b.conv(b.relu6(b.conv(x, 16)), 16, 3, pad=1, group=16)), 8)
    x = b.node("Add", [x, y])
    x = b.conv(b.relu6(b.conv(x, 16, 5, stride=2, pad=2, group=8)), 6)  # each channel makes two
    axes: dict[str, Any] = {"axes": [2, 3]} if opset < 18 else {}
    more = [] if opset < 18 else [b.array(np.asarray([-1, -2]))]
    b.result = b.gemm(b.node("Dropout", [b.node("ReduceMean", [x, *more], keepdims=0, **axes)]), 5)
    return b


def efficientnet(opset: int) -> OnnxModel:
    """Swish as two nodes, squeeze and excitation, TensorFlow's padding, dilation, and a softmax."""
    b = OnnxModel(size=13, opset=opset)
    x = b.conv("input", 6, 3, stride=2, auto_pad="SAME_UPPER")
    x = b.node("Mul", [x, b.node("Sigmoid", [x])])
    x = b.squeeze_excite(b.conv(x, 6, 3, pad=2, group=6, dilation=2), "Sigmoid")
    x = b.conv(x, 6, 2, stride=2, auto_pad="SAME_LOWER")
    b.result = b.node("Softmax", [b.classifier(x)], axis=1)
    return b


def vgg(opset: int) -> OnnxModel:
    """A picture flattened by a chain of sizes into a dense layer, in ONNX' order of features; batch-norm behind it."""
    b = OnnxModel(size=8, opset=opset)
    x = b.node("Relu", [b.conv("input", 4, 3, pad=[0, 1, 2, 0])])
    x = b.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    batch = b.node("Gather", [b.node("Shape", [x]), b.array(np.int64(0))], axis=0)
    axes: dict[str, Any] = {"axes": [0]} if opset < 13 else {}
    more = [] if opset < 13 else [b.array(np.asarray([0]))]
    shape = b.node("Concat", [b.node("Unsqueeze", [batch, *more], **axes), b.array(np.asarray([-1]))], axis=0)
    x = b.node("Reshape", [b.node("LeakyRelu", [x], alpha=0.2), shape], 4 * 4 * 3)
    x = b.node("Relu", [b.norm(x)])
    b.result = b.gemm(b.gemm(x, 7), 5)
    return b


def inception(opset: int) -> OnnxModel:
    """Pools of all kinds, joined; resizing; a batch-norm behind the join; constants before and behind the network."""
    b = OnnxModel(size=12, opset=opset)
    x = b.node("Div", [b.node("Sub", ["input", b.floats(3, 1, 1)]), b.array(np.full((1, 3, 1, 1), 0.5, np.float32))])
    x = b.node("Relu", [b.conv(x, 4, 3)])
    pools = [
        b.node("AveragePool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=1),
        b.node("AveragePool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=0),
        b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4),
        b.node("Pad", [b.node("MaxPool", [x], kernel_shape=[3, 3]), b.array(np.asarray([0, 0, 1, 0, 0, 0, 1, 2]))]),
    ]
    x = b.norm(b.node("Concat", pools, 16, axis=1))
    x = b.node("MaxPool", [b.node("Relu", [x])], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    about: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = b.node("Resize", [x, "", b.array(np.asarray([1, 1, 2, 3], np.float32))], mode="nearest", **about)
    about = {"coordinate_transformation_mode": "half_pixel"}
    x = b.node("Resize", [x, "", b.array(np.asarray([1, 1, 2, 2], np.float32))], mode="linear", **about)
    x = b.node("Flatten", [b.node("GlobalMaxPool", [x])])
    x = b.node("MatMul", [x, b.floats(16, 5)], 5)
    b.result = b.node("Identity", [b.node("Add", [b.floats(5), x], 5)])
    return b


def channels_last(opset: int) -> OnnxModel:
    """Transposes to channels last and back, as of a model that works on them so: none is left."""
    b = OnnxModel(size=6, opset=opset)
    x = b.node("Transpose", [b.conv("input", 4, 3, pad=1)], perm=[0, 2, 3, 1])
    x = b.node("Add", [b.node("MatMul", [x, b.floats(4, 6)], 6), b.floats(6)])
    x = b.node("Mul", [x, b.node("Tanh", [x])])
    x = b.node("Transpose", [x], perm=[0, 3, 1, 2])
    b.result = b.classifier(b.conv(x, 5, 2))
    return b


def input_channels_last(opset: int, channels: int = 3) -> OnnxModel:
    """As tf2onnx writes it: channels last, rescaled, less a mean of rows, and a Transpose before the first layer."""
    b = OnnxModel(channels, opset=opset)
    b.input = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 7, 9, channels])
    x = b.node("Sub", [b.node("Mul", ["input", b.array(np.float32(0.5))]), b.floats(channels)])
    x = b.node("Sub", [x, b.floats(7, 1, 1)])
    if channels == 1:
        x = b.node("Reshape", [x, b.array(np.asarray([-1, 1, 7, 9]))])
    else:
        x = b.node("Transpose", [x], perm=[0, 3, 1, 2])
    b.result = b.classifier(b.node("Relu", [b.conv(x, 5, 3, pad=1, stride=2)]))
    return b


def mobilenet_v3(opset: int) -> OnnxModel:
    """Hard-swish as an operator, as x · HardSigmoid(x) and written out; gates; groups; a slope per channel."""
    b = OnnxModel(size=9, opset=opset)
    x = b.conv("input", 8, 3, stride=2, pad=1)
    x = b.node("HardSwish", [x]) if opset >= 14 else b.node("Mul", [x, b.node("HardSigmoid", [x], alpha=1 / 6)])
    x = b.squeeze_excite(b.conv(x, 8, 3, pad=1, group=4))
    shifted = b.relu6(b.node("Add", [x, b.array(np.float32(3))]))
    x = b.node("Div", [b.node("Mul", [x, shifted]), b.array(np.float32(6))])
    x = b.node("PRelu", [b.conv(x, 8), b.floats(8, 1, 1)])
    x = b.node("Mul", [b.node("Clip", [x, b.array(np.float32(-1)), b.array(np.float32(2))]), b.floats(1, 8, 1, 1)])
    b.result = b.classifier(b.node("Max", [x, b.node("Neg", [x])]))
    return b


def convnext(opset: int) -> OnnxModel:
    """Layer-norm over the last axis between transposes and GELU, as operators or written out; a scale per channel."""
    b = OnnxModel(size=8, opset=opset)

    def number(value: float) -> str:
        return b.array(np.float32(value))

    def layer_norm(x: str) -> str:
        gamma, beta = b.floats(b.channels[x], shift=1), b.floats(b.channels[x])
        if opset >= 17:
            return b.node("LayerNormalization", [x, gamma, beta], axis=-1, epsilon=1e-6)
        centred = b.node("Sub", [x, b.node("ReduceMean", [x], axes=[-1])])
        variance = b.node("ReduceMean", [b.node("Pow", [centred, number(2)])], axes=[-1])
        root = b.node("Sqrt", [b.node("Add", [variance, number(1e-6)])])
        return b.node("Add", [b.node("Mul", [b.node("Div", [centred, root]), gamma]), beta])

    def gelu(x: str) -> str:
        if opset >= 20:
            return b.node("Gelu", [x])
        plus = b.node("Add", [b.node("Erf", [b.node("Div", [x, number(2**0.5)])]), number(1)])
        return b.node("Mul", [b.node("Mul", [x, plus]), number(0.5)])

    x = b.conv("input", 6, 2, stride=2)
    x = b.node("Transpose", [layer_norm(b.node("Transpose", [x], perm=[0, 2, 3, 1]))], perm=[0, 3, 1, 2])
    y = b.node("Transpose", [b.conv(x, 6, 3, pad=1, group=6)], perm=[0, 2, 3, 1])
    y = b.node("Add", [b.node("MatMul", [layer_norm(y), b.floats(6, 12)], 12), b.floats(12)])
    y = b.node("Add", [b.floats(6), b.node("MatMul", [gelu(y), b.floats(12, 6)], 6)], 6)
    y = b.node("Mul", [b.floats(6, 1, 1), b.node("Transpose", [y], perm=[0, 3, 1, 2])], 6)
    x = b.node("Add", [x, y])
    b.result = b.gemm(layer_norm(b.node("Flatten", [b.mean(x)])), 5)
    return b


def rows(opset: int) -> OnnxModel:
    """A picture as rows of places with their channels, as of a transformer; the first row taken out of the others."""
    b = OnnxModel(size=8, opset=opset)
    x = b.node("Reshape", [b.conv("input", 6, 4, stride=4), b.array(np.asarray([1, 6, 4]))])
    x = b.node("Transpose", [x], perm=[0, 2, 1])
    x = b.node("Add", [b.node("MatMul", [x, b.floats(6, 5)], 5), b.floats(4, 5)])
    first = b.node("Slice", [x, *(b.array(np.asarray([part])) for part in (0, 1, 1))])
    b.result = b.gemm(b.node("Flatten", [first]), 5, 5)
    return b


def transformer(opset: int) -> OnnxModel:
    """Attention as PyTorch writes MultiheadAttention (places before the batch), and as timm's vision transformers."""
    b = OnnxModel(size=12, opset=opset)
    places, channels, heads = 9, 6, 2

    def shaped(x: str, *sizes: int) -> str:
        return b.node("Reshape", [x, b.array(np.asarray(sizes))])

    def number(value: float) -> str:
        return b.array(np.float32(value))

    def layer(x: str, out: int) -> str:
        return b.node("Add", [b.floats(out), b.node("MatMul", [x, b.floats(channels, out)])])

    def picked(x: str, place: int) -> str:
        return b.node("Gather", [x, b.array(np.int64(place))], axis=0)

    x = shaped(b.conv("input", channels, 4, stride=4), 1, channels, places)
    x = b.node("Transpose", [x], perm=[0, 2, 1])
    y = shaped(layer(b.node("Transpose", [x], perm=[1, 0, 2]), 3 * channels), places, 1, 3, channels)
    y = b.node("Unsqueeze", [y, b.array(np.asarray([0]))])
    y = b.node("Squeeze", [b.node("Transpose", [y], perm=[3, 1, 2, 0, 4]), b.array(np.asarray([3]))])
    q, k, v = (
        shaped(b.node("Transpose", [shaped(picked(y, place), places, heads, 3)], perm=[1, 0, 2]), 1, heads, places, 3)
        for place in range(3)
    )
    k = b.node("Mul", [b.node("Transpose", [k], perm=[0, 1, 3, 2]), number(0.75)])
    w = b.node("Softmax", [b.node("MatMul", [b.node("Mul", [q, number(0.75)]), k])], axis=-1)
    y = shaped(b.node("Transpose", [b.node("MatMul", [w, v])], perm=[2, 0, 1, 3]), places, channels)
    y = shaped(b.gemm(y, channels, channels), places, 1, channels)
    x = b.node("Add", [x, b.node("Transpose", [y], perm=[1, 0, 2])])

    y = b.node("Transpose", [shaped(layer(x, 3 * channels), 1, places, 3, heads, 3)], perm=[2, 0, 3, 1, 4])
    q, k, v = (picked(y, place) for place in range(3))
    scores = b.node("MatMul", [q, b.node("Transpose", [k], perm=[0, 1, 3, 2])])
    w = b.node("Softmax", [b.node("Div", [scores, number(3**0.5)])], axis=-1)
    y = b.node("Transpose", [b.node("MatMul", [w, v])], perm=[0, 2, 1, 3])
    x = b.node("Add", [x, layer(shaped(y, 1, places, channels), channels)])
    parts = [b.node("ReduceMean", [x], axes=[1], keepdims=0), b.node("ReduceMax", [x], axes=[1], keepdims=1)]
    pooled = b.node("Add", [parts[0], b.node("Flatten", [parts[1]])])
    b.result = b.gemm(pooled, 5, channels)
    return b


def geometry(opset: int) -> OnnxModel:
    """Transposed convolutions, crops, a join of rows, and another size between pixel centres."""
    b = OnnxModel(size=6, opset=opset)
    x = b.node("Relu", [b.conv("input", 4, 3, pad=1)])
    kernel, bias = b.floats(4, 3, 4, 4), b.floats(3)
    x = b.node("ConvTranspose", [x, kernel, bias], 3, kernel_shape=[4, 4], strides=[2, 2], pads=[1, 1, 1, 1])
    x = b.node("ConvTranspose", [x, b.floats(3, 2, 2, 2)], 2, kernel_shape=[2, 2], strides=[2, 2])
    arrays = [b.array(np.asarray(part)) for part in ([1, -20], [9, 2**31 - 1], [2, 3])]
    top = b.node("Slice", [x, *arrays])
    bottom = b.node("Pad", [x, b.array(np.asarray([0, 0, -14, -2, 0, 0, 0, -2]))])
    x = b.node("Concat", [top, bottom], axis=2)
    about: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel", "mode": "linear"}
    x = b.node("Resize", [x, "", "", b.array(np.asarray([1, 2, 7, 9]))], **about)
    b.result = b.classifier(b.node("Min", [x, b.node("Sub", [b.array(np.float32(1)), x])]))
    return b


CASES = [
    (make, opset)
    for make, opsets in (
        (resnet, (11, 17)),
        (mobilenet, (13, 18)),
        (efficientnet, (11, 22)),
        (vgg, (11, 13)),
        (inception, (13, 18)),
        (channels_last, (17,)),
        (input_channels_last, (13,)),
        (mobilenet_v3, (13, 17)),
        (convnext, (13, 17, 20)),
        (geometry, (13,)),
        (shufflenet, (11, 17)),
        (rows, (17,)),
        (transformer, (17,)),
    )
    for opset in opsets
]


def made(builder: OnnxModel, folder: Path) -> tuple[onnx.ModelProto, TranslatedOnnx]:
    model = builder.model(builder.result)
    onnx.save(model, folder / "net.onnx")
    return model, float_onnx(folder / "net.onnx")


def noise(origin: TranslatedOnnx, spread: float = 2.0) -> np.ndarray:
    shape = shapes(origin.graph)[origin.graph.nodes[0].name]
    return np.random.default_rng(3).normal(0, spread, (2, *shape)).astype(np.float32)


@pytest.mark.parametrize(("make", "opset"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_each_tensor_is_that_of_onnxruntime(make, opset, tmp_path):
    model, origin = made(make(opset), tmp_path)
    pictures = noise(origin)
    names = [name for name in origin.values if name != "input"]
    result, *tensors = session_outputs(model, pictures, names)
    own = execute(origin.graph, pictures)
    assert len(own) == len(origin.graph.nodes)
    for name, expected in zip(names, tensors, strict=True):
        value = origin.values[name]
        if value.node in own:
            ours = expected.transpose([0, *value.axes])
            ours = ours if value.order is None else ours[..., value.order]
            actual = own[value.node].reshape(ours.shape)
            assert np.abs(actual - ours).max() <= 1e-4 * max(np.abs(ours).max(), 1e-6), name
    written = Model(convert(origin.graph).content).outputs(pictures)
    assert np.abs(written - result).max() <= 1e-4 * np.abs(result).max()


def test_no_transpose_is_left_and_padding_is_pytorch_s(tmp_path):
    _, origin = made(channels_last(17), tmp_path)
    written = Counter(operator.name for operator in operators(convert(origin.graph).content))
    assert "TRANSPOSE" not in written and written["RESHAPE"] <= 1
    _, origin = made(mobilenet(13), tmp_path)
    nodes = {type(node.operation): node for node in origin.graph.nodes}
    assert nodes[Pad].operation in (Pad((1, 1), (1, 1)), Pad((2, 2), (2, 2)))
    assert isinstance(nodes[DepthwiseConv2D].operation, DepthwiseConv2D)
    first = next(node for node in origin.graph.nodes if isinstance(node.operation, Conv2D))
    assert first.operation == Conv2D((2, 2), "valid") and isinstance(origin.graph.node(first.inputs[0]).operation, Pad)


@pytest.mark.parametrize(
    ("make", "opset", "counts"),
    [
        (mobilenet_v3, 13, {HardSwish: 2, HardSigmoid: 1, PRelu: 1}),
        (mobilenet_v3, 17, {HardSwish: 2, HardSigmoid: 1, PRelu: 1}),
        (convnext, 13, {LayerNorm: 3, Gelu: 1, Dense: 3}),
        (convnext, 20, {LayerNorm: 3, Gelu: 1, Dense: 3}),
        (transformer, 17, {Attention: 2, Dense: 2 * 4 + 1, Permute: 0}),
    ],
)
def test_what_exporters_write_out_becomes_one_operation(make, opset, counts, tmp_path):
    _, origin = made(make(opset), tmp_path)
    kinds = Counter(type(node.operation) for node in origin.graph.nodes)
    assert {kind: kinds[kind] for kind in counts} == counts
    assert not set(kinds) & set(WRITTEN_OUT)


def test_a_flattened_picture_keeps_its_own_order_and_the_dense_layer_s_rows_follow(tmp_path):
    _, origin = made(vgg(13), tmp_path)
    flat = [node for node in origin.graph.nodes if isinstance(node.operation, Reshape)]
    assert flat and all(value.order is None for value in origin.values.values() if len(value.shape) == 4)
    assert any(value.order is not None and sorted(value.order) == list(range(48)) for value in origin.values.values())


def test_batch_norm_takes_the_configuration_s_momentum(tmp_path):
    made(resnet(17), tmp_path)
    graph = float_onnx(tmp_path / "net.onnx", momentum=0.7).graph
    assert {node.operation.momentum for node in graph.nodes if hasattr(node.operation, "momentum")} == {0.7}


def test_a_bias_behind_a_layer_with_other_readers_is_not_moved_into_it(tmp_path):
    b = OnnxModel(size=6)
    x = b.conv("input", 4, 3, bias=False)
    y = b.node("Add", [b.node("Identity", [x]), b.floats(1, 4, 1, 1)])
    b.result = b.classifier(b.node("Mul", [y, x]))
    model, origin = made(b, tmp_path)
    pictures = noise(origin)
    written = Model(convert(origin.graph).content).outputs(pictures)
    result = session_outputs(model, pictures)[0]
    assert np.abs(written - result).max() <= 1e-4 * np.abs(result).max()


def test_a_size_that_is_no_whole_multiple_of_the_scale_is_refused(tmp_path):
    b = OnnxModel(size=5)
    about: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel", "mode": "linear"}
    x = b.node("Resize", ["input", "", b.array(np.asarray([1, 1, 1.5, 1.5], np.float32))], **about)
    b.result = b.classifier(x)
    with pytest.raises(UserError, match="no whole number of pixels"):
        made(b, tmp_path)


def test_everything_that_cannot_be_translated_is_named_at_once(tmp_path):
    b = OnnxModel(size=8)
    x = b.conv("input", 6, 3, pad=1)
    x = b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    y = b.node("Sin", [x])
    x = b.node("Div", [x, b.node("Erf", [x])])
    z = b.node("Reshape", [x, b.array(np.asarray([1, 2, 3, 4, 4]))])
    w = b.node("Clip", [x, b.array(np.float32(-1)), b.array(np.float32(1))])
    v = b.node("Resize", [x, "", b.array(np.asarray([1, 1, 1.5, 1.5], np.float32))], mode="cubic")
    parts = [b.node("ReduceMean", [part], axes=axes, keepdims=0) for part, axes in ((y, [2, 3]), (v, [2, 3]))]
    parts += [b.node("ReduceMean", [z], axes=[2, 3, 4], keepdims=0), b.node("ReduceMean", [w], axes=[1, 2], keepdims=0)]
    onnx.save(b.model(b.node("Concat", parts, axis=1)), tmp_path / "net.onnx")
    with pytest.raises(UserError) as error:
        float_onnx(tmp_path / "net.onnx")
    text = str(error.value)
    for part in (
        "ReduceMean: is over the axes",
        "(Sin)",
        "(Resize: makes",
        "Known: Add",
        "(Erf: is only known within a GELU",
        "(Div: divides by a tensor",
    ):
        assert part in text


def test_an_input_with_its_channels_last_is_read_in_that_order_or_told_how_to_export(tmp_path):
    for channels in (1, 3):
        model, origin = made(input_channels_last(13, channels), tmp_path)
        pictures = noise(origin)
        assert pictures.shape == (2, 7, 9, channels)
        (expected,) = session_outputs(model, pictures)
        assert np.abs(execute(origin.graph, pictures)[origin.graph.outputs[0]] - expected).max() < 1e-5
        reference = Reference(origin).values(pictures[0])
        assert np.abs(reference[origin.model.output] - expected[0]).max() < 1e-5
    b = input_channels_last(13)
    b.result = b.node("Add", [b.result, b.node("ReduceMean", ["input"], axes=[1, 2, 3], keepdims=0)])
    with pytest.raises(UserError, match=r"seems to have its channels last: .* --inputs-as-nchw input"):
        made(b, tmp_path)


def test_names_of_repeated_operators_are_counted(tmp_path):
    b = OnnxModel(size=8)
    x = "input"
    for _ in range(5):
        x = b.node("Sin", [x])
    onnx.save(b.model(b.classifier(x)), tmp_path / "net.onnx")
    with pytest.raises(UserError, match=r"sin0/Sin, .*sin1/Sin, .*sin2/Sin and 2 more \(Sin\)"):
        float_onnx(tmp_path / "net.onnx")


def changed(change) -> onnx.ModelProto:
    model = mobilenet(13)
    proto = model.model(model.result)
    change(proto)
    return proto


def set_shape(*sizes: int | str):
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, sizes))

    return change


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1]))


def half(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def version(number: int):
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = number

    return change


def own_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.node[0].domain = "com.example"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_shape(8, 3, 16, 16), "fixed batch of 8"),
        (set_shape("n", 3, "h", "w"), "fixed height and width"),
        (set_shape(1, 48), "[batch, channels, height, width]"),
        (second_input, "2 inputs (input, mask)"),
        (half, "must be FLOAT"),
        (version(10), "versions 11 to 22"),
        (version(23), "versions 11 to 22"),
        (own_domain, "com.example.Conv"),
    ],
)
def test_models_of_another_kind_are_refused_with_what_to_do(change, words, tmp_path):
    (tmp_path / "net.onnx").write_bytes(changed(change).SerializeToString())
    with pytest.raises(UserError) as error:
        float_onnx(tmp_path / "net.onnx")
    assert words in str(error.value) and str(tmp_path / "net.onnx") in str(error.value)


def test_damaged_files_are_refused(tmp_path):
    whole = changed(lambda model: None).SerializeToString()
    random = np.random.default_rng(0)
    path = tmp_path / "net.onnx"
    for content in (b"", b"no model", whole[: len(whole) // 2], whole[:40], random.bytes(2000)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"net\.onnx"):
            float_onnx(path)
    for place in random.choice(len(whole), 60, replace=False):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bytes(flipped))
        try:
            float_onnx(path)  # a flipped bit in an array is another model
        except UserError as error:
            assert "net.onnx" in str(error)


def test_a_constant_of_absurd_size_is_refused(tmp_path):
    b = OnnxModel(size=8)
    huge = b.node("ConstantOfShape", [b.array(np.asarray([1, 3, 2**20, 2**20]))])
    onnx.save(b.model(b.classifier(b.node("Add", ["input", huge]))), tmp_path / "net.onnx")
    with pytest.raises(UserError, match=r"net\.onnx"):
        float_onnx(tmp_path / "net.onnx")


def test_arrays_beside_the_model_are_read_and_must_be_there(tmp_path):
    model = changed(lambda model: None)
    whole = io.BytesIO()
    onnx.save(model, whole)
    (tmp_path / "whole.onnx").write_bytes(whole.getvalue())
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    assert external_files(tmp_path / "net.onnx") == [tmp_path / "net.data"]
    own, other = float_onnx(tmp_path / "net.onnx").graph, float_onnx(tmp_path / "whole.onnx").graph
    assert own.weights.keys() == other.weights.keys()
    assert all(np.array_equal(own.weights[name], other.weights[name]) for name in own.weights)
    (tmp_path / "net.data").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"net.data, and there is no such file"):
        float_onnx(tmp_path / "net.onnx")
    text = (tmp_path / "net.onnx").read_bytes().replace(b"net.data", b"../n.dat")
    (tmp_path / "net.onnx").write_bytes(text)
    with pytest.raises(UserError, match="not a file beside the model"):
        float_onnx(tmp_path / "net.onnx")


def test_the_configuration_s_check_says_the_size_of_the_pictures(tmp_path):
    onnx.save(changed(lambda model: None), tmp_path / "net.onnx")
    path = str(tmp_path / "net.onnx")
    assert float_fit(path, (16, 16, 3)).problem == ""
    said = float_fit(path, (32, 32, 3)).problem
    assert "16×16×3" in said and "data.preprocessing.size" in said


def test_the_configuration_s_check_says_what_the_graph_would_say_in_its_job(tmp_path):
    """Weights that are not finite, layers without an int8 form, names of no layer, and the number of classes."""
    b = OnnxModel(size=16, opset=20)
    b.result = b.classifier(b.node("Gelu", [b.conv("input", 6, 3)]), 4)
    onnx.save(b.model(b.result), tmp_path / "net.onnx")
    path, size = str(tmp_path / "net.onnx"), (16, 16, 3)
    (gelu,) = (node.name for node in float_onnx(tmp_path / "net.onnx").graph.nodes if type(node.operation) is Gelu)
    assert f"cannot be quantised: {gelu} (Gelu)" in float_fit(path, size).problem
    assert "no layer's name contains 'nosuch'" in float_fit(path, size, [gelu, "nosuch"]).problem
    assert "no layer is named 'el'" in float_fit(path, size, [gelu, "=el"]).problem
    for keep in ("auto", [gelu], [f"={gelu}"]):
        assert float_fit(path, size, keep) == Fit("", 4)
    model = onnx.load(path)
    kernel = next(array for array in model.graph.initializer if len(array.dims) == 4)
    values = numpy_helper.to_array(kernel).copy()
    values.flat[1] = np.nan
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    onnx.save(model, path)
    assert "NaN or infinite: " in (said := float_fit(path, size, "auto").problem) and "(1 of " in said


@pytest.mark.tensorflow
def test_the_graph_that_is_trained_is_compared_with_the_model_before(tmp_path):
    from dataclasses import replace

    from qatflow.pretrained.compared_onnx import check_same_onnx

    for make in (shufflenet, efficientnet):
        _, origin = made(make(17), tmp_path)
        check_same_onnx(origin, "net.onnx", noise(origin))
    name = next(name for name in origin.graph.weights if name.endswith("depthwise_kernel"))
    wrong = replace(origin.graph, weights={**origin.graph.weights, name: origin.graph.weights[name] * 1.01})
    with pytest.raises(UserError, match=r"net.onnx: .*Conv.*other values here than by ONNX' definition"):
        check_same_onnx(replace(origin, graph=wrong), "net.onnx", noise(origin))


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """The problems of a configuration, in a folder with the project's own; empty when it is accepted."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)

    def problems(text: str) -> str:
        Path("my.yaml").write_text(text, encoding="utf-8")
        try:
            load_config([Path("config/config.yaml"), Path("my.yaml")])
        except UserError as error:
            return str(error)
        return ""

    return problems


def test_the_configuration_takes_an_onnx_file_and_says_what_is_wrong_with_one(problems):
    b = OnnxModel(size=32)
    onnx.save(b.model(b.classifier(b.conv("input", 4, 3), 10)), "net.onnx")
    b = OnnxModel(size=32)
    onnx.save(b.model(b.node("Relu", [b.classifier(b.node("Sin", ["input"]))])), "odd.onnx")
    data = "data: {name: d, preprocessing: {channels: 3, size: 32}}\n"
    model = data + "model: {file: net.onnx}\npretrained: {name: n, source: model}\n"
    assert problems(model) == ""
    onnx.save(b.model(b.classifier(b.conv("input", 4, 3), 7)), "seven.onnx")
    assert "the weights have 7 classes, data/d has 10: a new last layer" in problems(model.replace("net.", "seven."))
    assert "model.file: odd.onnx: these operators cannot be translated" in problems(model.replace("net.", "odd."))
    assert "model.file: net.onnx takes pictures of 32×32×3" in problems(model.replace("size: 32", "size: 64"))
    text = problems(model.replace("source: model", "source: file, path: net.onnx"))
    assert "is 'file', and an ONNX file brings its own weights" in text
    assert "quantized_model.file: net.onnx is not quantised" in problems(data + "quantized_model: {file: net.onnx}\n")


@pytest.mark.tensorflow
def test_a_float_onnx_model_is_the_float_graph_of_the_run(tmp_path):
    from qatflow.pretrained.float_graph import float_graph

    digits = prepared_digits(tmp_path / "data")
    b = OnnxModel(channels=1, size=32)
    x = b.node("Relu", [b.norm(b.conv("input", 4, 5, stride=4, bias=False))])
    onnx.save(b.model(b.classifier(x, 10)), tmp_path / "net.onnx")
    section = ModelSection(file=str(tmp_path / "net.onnx"), batch_norm_momentum=0.8)
    made_here = float_graph(section, None, True, digits, fine_tune=False, seed=0)
    text = " ".join(made_here.messages)
    assert "mean [127.5] and std [127.5]" in text and "[123.675, 116.28, 103.53]" in text and "logits" in text
    pictures = noise(float_onnx(tmp_path / "net.onnx"))
    written = Model(convert(made_here.graph).content).outputs(pictures)
    expected = session_outputs(onnx.load(tmp_path / "net.onnx"), pictures)[0]
    assert np.abs(written - expected).max() <= 1e-4 * np.abs(expected).max()
    onnx.save(b.model(b.classifier(x, 7)), tmp_path / "net.onnx")
    assert float_graph(section, None, True, digits, fine_tune=True, seed=0).new_head is not None
    with pytest.raises(UserError, match=r"the weights have 7 classes.*fine_tune"):
        float_graph(section, None, True, digits, fine_tune=False, seed=0)
