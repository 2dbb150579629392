"""int16 activations: each operator against LiteRT's float kernels, convolutions against the formula bit for bit."""

from dataclasses import replace
from math import frexp

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.kernel_bounds import held
from qatflow.graph.operations import (
    Add,
    AveragePool,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSwish,
    Input,
    LeakyRelu,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Operation,
    Pad,
    Permute,
    PRelu,
    Relu,
    Rescale,
    Reshape,
    Sigmoid,
    Subtract,
    Tanh,
    UpSample,
)
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.builder import ModelBuilder, packed
from qatflow.tflite.device_rules import broken_rules
from qatflow.tflite.lower import convert, lower
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.tensors import Tensors
from qatflow.tflite.verify import verify
from qatflow.trial.float_ranges import float_ranges

SHAPE = (6, 6, 4)
ONE: dict[str, Operation] = {
    "conv": Conv2D((2, 2), "same", (1, 1)),
    "grouped": Conv2D((1, 1), "valid", groups=2),
    "dilated": Conv2D((1, 1), "same", (2, 2)),
    "depthwise": DepthwiseConv2D((1, 1), "same"),
    "transposed": Conv2DTranspose((2, 2), "same"),
    "dense": Dense(),
    "rescaled": Rescale(),
    "relu": Relu(),
    "leaky": LeakyRelu(0.3),
    "prelu": PRelu(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "average": AveragePool((2, 2), (2, 2), "valid"),
    "highest": MaxPool((2, 2), (2, 2), "valid"),
    "mean": GlobalAveragePool(keepdims=False),
    "all_highest": GlobalMaxPool(keepdims=True),
    "padded": Pad((1, 0), (0, 1)),
    "lowest": Pad((1, 0), (0, 1), lowest=True),
    "cut": Crop((1, 1), (0, 2)),
    "turned": Permute((2, 0, 1)),
    "flat": Reshape((144,)),
    "twice": UpSample((2, 2), bilinear=False),
    "smooth": UpSample((2, 2), bilinear=True),
    "plus": Add(),
    "times": Multiply(),
    "from": Subtract(constant_first=True),
    "at_least": Maximum(),
}
"""Operations of one tensor, some with a weight in the place of a second."""
TWO: dict[str, Operation] = {
    "sum": Add("relu"),
    "product": Multiply(),
    "difference": Subtract(),
    "more": Maximum(),
    "less": Minimum(),
}


def every_operator() -> Graph:
    """A layer of each kind, all of which read one convolution; each is an output."""
    random = np.random.default_rng(2)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(0, 0.5, shape).astype(np.float32)

    nodes = [
        Node("input", Input(SHAPE)),
        Node("first", Conv2D((1, 1), "same"), ("input",)),
        Node("second", Conv2D((1, 1), "same"), ("input",)),
        *(Node(name, operation, ("first",)) for name, operation in ONE.items()),
        *(Node(name, operation, ("first", "second")) for name, operation in TWO.items()),
        Node("both", Concat(), ("sum", "product")),
    ]
    weights = {
        "first/kernel": normal(3, 3, 4, 4), "first/bias": normal(4), "second/kernel": normal(1, 1, 4, 4),
        "conv/kernel": normal(3, 3, 4, 3), "conv/bias": normal(3), "grouped/kernel": normal(3, 3, 2, 4),
        "dilated/kernel": normal(3, 3, 4, 2), "depthwise/depthwise_kernel": normal(3, 3, 4, 2),
        "depthwise/bias": normal(8), "transposed/kernel": normal(3, 3, 4, 3), "dense/kernel": normal(4, 5),
        "dense/bias": normal(5), "rescaled/factor": normal(4), "rescaled/offset": normal(4),
        "prelu/alpha": normal(1, 1, 4), "plus/constant": normal(4), "times/constant": normal(1, 6, 1),
        "from/constant": normal(4), "at_least/constant": normal(4),
    }  # fmt: skip
    used = {name for node in nodes for name in node.inputs}
    return Graph(tuple(nodes), tuple(node.name for node in nodes if node.name not in used), weights)


def pictures() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1, (3, *SHAPE)).astype(np.float32)


def quantised(graph: Graph, activations: int | dict[str, int], weights: str = "channel_wise_abs_max") -> Graph:
    settings = QuantSettings(8, activations, weights, "moving_average_abs_max")
    ranges = float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), pictures())
    # a tenth more, so that what the rounded weights compute is not clipped
    return as_if_quantised(graph, settings, {name: (1.1 * low, 1.1 * high) for name, (low, high) in ranges.items()})


def integers(graph: Graph, content: bytes, name: str, picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The integers of a tensor, or of the tensor that it moves, and their scale."""
    model = Tensors(content)
    model.run(picture)
    found = next(n for n in (f"{name}/int16", f"{name}/int8", name) if n in model.index)
    scale = graph.activation_scale(name)
    assert scale is not None and scale.scale is not None
    return model.value(found).astype(np.int64) - scale.zero_point, scale.scale


def test_each_operator_computes_what_the_float_kernel_does_with_the_weights_of_the_integers():
    graph = quantised(every_operator(), 16)
    assert {scale.bits for scale in graph.activation_scales.values()} == {16}
    content = lower(graph, "test")
    assert {o.outputs[0].dtype for o in operators(content)} == {"INT16", "FLOAT32"}
    reference = Tensors(lower(graph.in_real_values(), "test"))
    for picture in pictures():
        reference.run(picture)
        for node in graph.nodes[1:]:
            found, scale = integers(graph, content, node.name, picture)
            real = np.maximum(reference.value(node.name).astype(np.float64), -32768 * scale)  # what pads may be lower
            # steps for the roundings on the way, and the kernels' multipliers of 16 bits
            coarsest = max(scale, *(graph.activation_scale(name).scale for name in node.inputs))
            allowed = 6 * coarsest + 2.0**-14 * np.abs(real).max()
            assert np.abs(found * scale - real).max() <= allowed, node.name
            assert np.abs(found).max() > 2000, f"{node.name} uses the 16 bits"


def requantised(sums: np.ndarray, multiplier: float) -> np.ndarray:
    """LiteRT's MultiplyByQuantizedMultiplier of int64 (tflite/kernels/internal/common.cc): 16 bits of multiplier."""
    fraction, exponent = frexp(multiplier)
    wide = int(np.floor(fraction * 2.0**31 + 0.5))
    reduced = (wide + (1 << 15)) >> 16 if wide < 0x7FFF0000 else 0x7FFF
    return np.clip((sums * reduced + (1 << (14 - exponent))) >> (15 - exponent), -32768, 32767)


@pytest.mark.parametrize("weights", ["abs_max", "channel_wise_abs_max"])
def test_convolutions_and_dense_layers_have_the_integers_of_the_formula(weights):
    nodes = (
        Node("input", Input((5, 5, 3))),
        Node("conv", Conv2D((1, 1), "valid"), ("input",)),
        Node("dw", DepthwiseConv2D((1, 1), "valid"), ("conv",)),
        Node("pool", Reshape((12,)), ("dw",)),
        Node("dense", Dense(), ("pool",)),
    )
    random = np.random.default_rng(4)
    shapes = {
        "conv/kernel": (3, 3, 3, 4),
        "conv/bias": (4,),
        "dw/depthwise_kernel": (3, 1, 4, 1),
        "dense/kernel": (12, 6),
    }
    float_graph = Graph(nodes, ("dense",), {k: random.normal(0, 0.5, v).astype(np.float32) for k, v in shapes.items()})
    settings = QuantSettings(8, 16, weights, "moving_average_abs_max")
    values = random.normal(0, 1, (2, 5, 5, 3)).astype(np.float32)
    ranges = float_ranges(float_graph, quantised_tensors(float_graph, quantised_kernels(float_graph)), values)
    graph = as_if_quantised(float_graph, settings, ranges)
    content = lower(graph, "test")
    read = {o.name: o for o in operators(content)}
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        assert (read[name].kernel.dtype, read[name].bias.dtype) == ("INT8", "INT64")
    scales = {node.name: graph.activation_scale(node.name).scale for node in nodes}

    def multipliers(kernel: str, source: str, output: str) -> list[float]:
        return [scales[source] * float(s) / scales[output] for s in graph.weight_scales[kernel].scale]

    for picture in values:
        x, _ = integers(graph, content, "input", picture)
        np.testing.assert_array_equal(
            x[0], np.clip(np.rint(picture * (np.float32(1) / np.float32(scales["input"]))), -32768, 32767)
        )
        windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), (0, 1))  # rows, columns, channels, 3, 3
        sums = np.einsum("yxcij,ijco->yxo", windows, graph.weights["conv/kernel"].astype(np.int64))
        steps = graph.weight_scales["conv/kernel"].scale.astype(np.float64) * scales["input"]
        sums += np.rint(graph.weights["conv/bias"] / steps).astype(np.int64)
        factors = multipliers("conv/kernel", "input", "conv") * (4 if weights == "abs_max" else 1)
        expected = np.stack([requantised(sums[..., c], factors[c]) for c in range(4)], -1)
        found, _ = integers(graph, content, "conv", picture)
        np.testing.assert_array_equal(found[0], expected)
        kernel = graph.weights["dw/depthwise_kernel"][:, 0, :, 0].astype(np.int64)
        sums = np.lib.stride_tricks.sliding_window_view(expected, 3, 0).transpose(0, 1, 3, 2)
        sums = np.einsum("yxic,ic->yxc", sums, kernel)
        factors = multipliers("dw/depthwise_kernel", "conv", "dw") * (4 if weights == "abs_max" else 1)
        expected = np.stack([requantised(sums[..., c], factors[c]) for c in range(4)], -1)
        found, _ = integers(graph, content, "dw", picture)
        np.testing.assert_array_equal(found[0], expected)
        (factor,) = multipliers("dense/kernel", "pool", "dense")
        # this kernel multiplies in double (tflite/kernels/internal/reference/integer_ops/fully_connected.h)
        sums = expected.reshape(-1) @ graph.weights["dense/kernel"].astype(np.int64) * factor
        expected = np.clip(np.sign(sums) * np.floor(np.abs(sums) + 0.5), -32768, 32767)
        found, _ = integers(graph, content, "dense", picture)
        np.testing.assert_array_equal(found[0], expected)


def test_where_8_and_16_bits_meet_the_wider_kernel_runs_and_each_tensor_keeps_its_width():
    """What is read is widened exactly, by 128; what is written is computed 128 times as fine, and rounded once more."""
    graph = quantised(every_operator(), {"default": 8, "first": 16, "product": 16})
    content = lower(graph, "test")
    read = operators(content)
    types = {o.outputs[0].name: (o.name, o.outputs[0].dtype) for o in read}
    assert types["first"][1] == types["product"][1] == "INT16" and types["second"] == ("CONV_2D", "INT8")
    assert types["sum/wide"] == ("ADD", "INT16") and types["sum"] == ("QUANTIZE", "INT8")
    assert types["conv/wide"] == ("CONV_2D", "INT16") and types["conv"] == ("QUANTIZE", "INT8")
    assert types["sigmoid/wide"] == ("LOGISTIC", "INT16") and types["sigmoid"] == ("QUANTIZE", "INT8")
    assert types["average"] == ("AVERAGE_POOL_2D", "INT16"), "it has the integers of what it reads"
    for picture in pictures():
        model, known = Tensors(content), graph.activation_scales
        model.run(picture)
        wide = [o for o in read if o.name == "QUANTIZE" and o.inputs[0].name in ("input/int8", "second")]
        assert {o.outputs[0].dtype for o in wide} == {"INT16"}
        exact = [o for o in wide if o.outputs[0].scale == o.inputs[0].scale / 128]
        assert {o.inputs[0].name for o in exact} == {"input/int8", "second"}
        for operator in exact:
            before, after = (model.value(t.name).astype(int) for t in (operator.inputs[0], operator.outputs[0]))
            np.testing.assert_array_equal(after, (before - operator.inputs[0].zero_point) * 128)
        for name in ("sum", "conv", "dense"):
            fine = model.value(f"{name}/wide").astype(int)
            half = (fine + 1) >> 1  # a high multiplication by 2^30, then a rounding shift, whose ties go away from 0
            steps = np.sign(half) * ((np.abs(half) + 32) // 64)
            np.testing.assert_array_equal(model.value(name), np.clip(steps + known[name].zero_point, -128, 127))
        reference = Tensors(lower(graph.in_real_values(), "test"))
        reference.run(picture)
        for node in graph.nodes[1:]:
            found, step = integers(graph, content, node.name, picture)
            near = 8 * max(step, *(graph.activation_scale(n).scale for n in (*node.inputs, "input")))
            real = np.maximum(reference.value(node.name), found.min() * step)
            assert np.abs(found * step - real).max() <= near, node.name


def test_the_verifier_takes_int16_with_int64_biases_and_no_other():
    converted = convert(as_if_quantised(small_graph(), QuantSettings(8, 16, "abs_max", "moving_average_abs_max")))
    graph, content = converted.graph, converted.content
    verify(graph, content)
    other = replace(graph, weights={**graph.weights, "left/kernel": graph.weights["left/kernel"] + np.int8(1)})
    with pytest.raises(UserError, match="left: its integers are not those of training"):
        verify(other, content)


def test_what_has_no_int16_kernel_is_refused_by_name():
    nodes = (
        Node("input", Input((260, 260, 1))),
        Node("conv", Conv2D((1, 1), "same"), ("input",)),
        Node("swish", HardSwish(), ("conv",)),
        Node("pool", AveragePool((256, 256), (1, 1), "valid"), ("conv",)),
        Node("mean", GlobalAveragePool(keepdims=False), ("swish",)),
    )
    scales = {name: ActivationScale(16, 1e-3) for name in ("input", "conv", "swish", "mean")}
    graph = Graph(
        nodes, ("mean", "pool"), {"conv/kernel": np.ones((1, 1, 1, 2), np.int8)},
        {"conv/kernel": WeightScale(8, np.full(1, 0.1, np.float32))}, scales,
    )  # fmt: skip
    with pytest.raises(
        UserError, match=r"swish \(HardSwish has no int16 kernel: give conv, swish 8 bits in activation_"
    ):
        lower(graph, "test")
    with pytest.raises(UserError, match=r"mean \(the int16 kernel of GlobalAveragePool takes up to 65535 values"):
        lower(graph, "test")
    with pytest.raises(UserError, match=r"pool \(the int16 kernel of AveragePool takes up to 65535 values: give it 8"):
        lower(graph, "test")
    uneven = {**scales, "conv": ActivationScale(16, 1e-3, 5)}
    with pytest.raises(UserError, match=r"conv \(its zero point is 5; the int16 kernels take 0 alone\)"):
        lower(replace(graph, activation_scales=uneven), "test")
    narrow = {"conv": ActivationScale(8, 1e-3), "swish": ActivationScale(8, 1e-3), "mean": ActivationScale(8, 1e-3)}
    lower(replace(graph, activation_scales={**scales, **narrow}), "test")


def test_scales_are_raised_where_the_int16_kernels_would_overflow_without_a_word():
    """A sum beyond int32, in steps of its output, comes back with the wrong sign."""
    nodes = (
        Node("input", Input((1, 1, 64))),
        Node("conv", Conv2D((1, 1), "same"), ("input",)),
        Node("square", Multiply(), ("conv", "conv")),
    )
    kernel = np.full((1, 1, 64, 1), 127, np.int8)
    weights, scale = {"conv/kernel": kernel}, {"conv/kernel": WeightScale(8, np.full(1, 1 / 127, np.float32))}
    step = 1 / 32767
    for_sum = {"input": step, "conv": step / 2**11, "square": step}
    for_product = {"input": step, "conv": 64 * step, "square": 64 * step * 64 * step / 8}
    picture = np.ones((1, 1, 64), np.float32)
    for scales, name, real in ((for_sum, "conv", 64.0), (for_product, "square", 4096.0)):
        known = {n: ActivationScale(16, float(np.float32(s))) for n, s in scales.items()}
        graph = Graph(nodes, ("square",), weights, scale, known)
        raised, names = held(graph)
        assert list(names) == [name]
        found, step_now = integers(raised, lower(raised, "test"), name, picture)
        assert found.item() == min(32767, round(real / step_now))
        wrong, step_before = integers(graph, lower(graph, "test"), name, picture)
        assert wrong.item() != min(32767, round(real / step_before))


@pytest.mark.parametrize("window", [(255, 257), (256, 256)], ids=str)
def test_an_int16_average_pool_is_right_up_to_the_last_number_of_values_whose_sum_fits_int32(window):
    """All values are −2^15: 65,535 of them, and half their number for rounding, reach −2^31 + 1."""
    height, width = window
    builder = ModelBuilder()
    source, pooled = (
        builder.tensor(name, (1, *shape, 1), np.int16, np.full(1, 2.0**-15, np.float32))
        for name, shape in (("pictures", window), ("pool", (1, 1)))
    )
    options = schema.Pool2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
    options.filterHeight, options.filterWidth = height, width
    builder.operator("AVERAGE_POOL_2D", [source], [pooled], options, version=3)
    content = builder.pack([("pictures", source)], [("pool", pooled)], "a test")
    tensors = Tensors(content)
    tensors.run(np.full((*window, 1), -(2**15), np.int16))
    assert (tensors.value("pool").item() == -(2**15)) is (height * width <= 65_535)
    refused = "pool is the mean of 65536 values of int16, and LiteRT's int32 sum holds at most 65535: give it 8 bits"
    assert broken_rules(content) == ([] if height * width <= 65_535 else [refused])


def stored_in_4_bits(content: bytes) -> bytes:
    """The model with its kernels as INT4 tensors, two weights in a byte, the first in the lower half."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT8 and model.buffers[tensor.buffer].data is not None:
            tensor.type = schema.TensorType.INT4
            values = np.asarray(model.buffers[tensor.buffer].data).view(np.int8)
            low, high = np.append(values, np.zeros(values.size % 2, np.int8)).reshape(-1, 2).T
            model.buffers[tensor.buffer].data = ((low & 15) | (high << 4)).astype(np.uint8)
    return packed(model)


@pytest.mark.parametrize(("layer", "right"), [(Conv2D((1, 1), "same"), True), (DepthwiseConv2D((1, 1), "same"), False)])
def test_kernels_of_int4_are_right_in_a_convolution_but_wrong_and_refused_in_a_depthwise_one(layer, right):
    """LiteRT unpacks them for its int16 convolution; its int16 depthwise convolution reads the bytes as int8."""
    kernel = "kernel" if isinstance(layer, Conv2D) else "depthwise_kernel"
    weights = {f"layer/{kernel}": np.random.default_rng(6).normal(0, 1, (3, 3, 4, 1)).astype(np.float32)}
    graph = Graph((Node("input", Input(SHAPE)), Node("layer", layer, ("input",))), ("layer",), weights)
    settings = QuantSettings({".*": 4}, 16, "abs_max", "moving_average_abs_max")
    ranges = float_ranges(graph, {"input", "layer"}, pictures())
    content = lower(as_if_quantised(graph, settings, ranges), "test")
    small = stored_in_4_bits(content)
    assert np.array_equal(Model(small).outputs(pictures()), Model(content).outputs(pictures())) is right
    refused = (
        "layer has weights stored in 4 bits and activations of 16, and LiteRT reads such weights wrongly in "
        "DEPTHWISE_CONV_2D: store them as int8"
    )
    assert broken_rules(small) == ([] if right else [refused])
    assert not broken_rules(content)
