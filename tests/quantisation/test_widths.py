"""Which width the integers of each kernel have, and the integers themselves, against the definition in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Add, Conv2D, Dense, GlobalAveragePool, HardSwish, Input, PRelu, Softmax
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.quantisation.widths import end_layers, kernel_bits, operand_bits, tensor_bits
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators


def bits(widths, skip=()) -> dict[str, int]:
    graph = small_graph()
    return kernel_bits(graph, quantised_kernels(graph, skip=skip), widths)


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        (8, (8, 8, 8, 8)),
        (16, (16, 16, 16, 16)),
        (4, (8, 4, 4, 8)),
        ({}, (8, 8, 8, 8)),
        ({"default": 4}, (8, 4, 4, 8)),
        ({"dw": 3}, (8, 3, 8, 8)),
        ({"default": 4, "logits": 4}, (8, 4, 4, 4)),
        ({"default": 4, "conv/": 2, "l": 8}, (2, 4, 8, 8)),
        ({".*": 2}, (2, 2, 2, 2)),
        ({"d": 5, "dw/depth": 5}, (8, 5, 8, 8)),
    ],
)
def test_first_and_last_layer_have_8_bits_below_8_unless_a_pattern_matches_them(widths, expected):
    assert bits(widths) == dict(zip(("conv", "dw", "left", "logits"), expected, strict=True))


@pytest.mark.parametrize(
    ("widths", "skip", "message"),
    [
        ({"c": 4, "pw": 4}, (), "weight_bits: no kernel's name matches 'pw'; the names are conv/kernel, dw/depthwise"),
        ({"onv": 4}, (), "weight_bits: no kernel's name matches 'onv'"),
        (
            {"dw": 4},
            ("dw",),
            r"weight_bits: 'dw' matches kernels alone that stay in float \(dw/depthwise_kernel\): rem",
        ),
        ({"l": 4, "c": 2, "left": 3}, (), "weight_bits: 'l' and 'left' both match left/kernel, with 4 and 3: change"),
    ],
)
def test_what_does_not_fit_the_layers_is_refused_by_name(widths, skip, message):
    with pytest.raises(UserError, match=message):
        bits(widths, skip)


def test_a_layer_in_float_is_still_the_first_and_gives_its_place_to_no_other():
    assert bits(4, skip=("conv",)) == {"dw": 4, "left": 4, "logits": 8}


def test_the_ends_are_found_along_the_tensors_not_in_the_order_of_the_nodes():
    nodes = (
        Node("a", Input((4, 4, 2))),
        Node("b", Input((4, 4, 2))),
        Node("first", Conv2D((1, 1), "same"), ("a",)),
        Node("inner", Conv2D((1, 1), "same"), ("first",)),
        Node("also_first", Conv2D((1, 1), "same"), ("b",)),
        Node("sum", Add(), ("inner", "also_first")),
        Node("pool", GlobalAveragePool(keepdims=False), ("sum",)),
        Node("last", Dense(), ("pool",)),
        Node("also_last", Dense(), ("pool",)),
        Node("end", Softmax(), ("last",)),
    )
    assert end_layers(Graph(nodes, ("end", "also_last"), {})) == {"first", "also_first", "last", "also_last"}


TENSORS = ("input", "conv_relu", "dw_relu", "left_bn", "sum_relu", "pool", "logits")


def activations(widths, skip=()) -> dict[str, int]:
    graph = small_graph()
    return tensor_bits(graph, quantised_tensors(graph, quantised_kernels(graph, skip=skip), skip), widths)


@pytest.mark.parametrize(
    ("widths", "wide"),
    [
        (8, ()),
        (16, TENSORS),
        ({"default": 16}, TENSORS),
        ({"conv": 16}, ("conv_relu",)),
        ({"conv$": 16}, ("conv_relu",)),
        ({"sum": 16, "dw_bn": 16}, ("dw_relu", "sum_relu")),
        ({"default": 16, "[a-l]": 8}, ("pool", "sum_relu")),
    ],
)
def test_a_pattern_of_any_layer_that_is_computed_together_means_the_tensor_at_the_end(widths, wide):
    assert activations(widths) == {name: 16 if name in wide else 8 for name in TENSORS}


@pytest.mark.parametrize(
    ("widths", "skip", "message"),
    [
        ({"pw": 16}, (), "activation_bits: no layer's name matches 'pw'; the names are input, conv, conv_bn, conv_r"),
        ({"prob": 16}, (), r"activation_bits: 'prob' matches layers alone that run in float or .* \(probabilities\)"),
        ({"pad": 16}, (), r"activation_bits: 'pad' matches layers alone .* have the integers of the layer before"),
        ({"dw$": 16, "dw_relu": 8}, (), "activation_bits: 'dw\\$' and 'dw_relu' both match dw_relu, with 16 and 8: ch"),
    ],
)
def test_activations_that_do_not_fit_the_layers_are_refused_by_name(widths, skip, message):
    with pytest.raises(UserError, match=message):
        activations(widths, skip)


def test_a_constant_beside_a_tensor_has_its_width_but_slopes_have_8_bits():
    nodes = (
        Node("input", Input((4, 4, 2))),
        Node("plus", Add(), ("input",)),
        Node("prelu", PRelu(), ("plus",)),
        Node("last", Add(), ("prelu",)),
    )
    graph = Graph(nodes, ("last",), {})
    operands = {"plus": "plus/constant", "prelu": "prelu/alpha", "last": "last/constant"}
    tensors = {"input": 16, "plus": 8, "prelu": 8, "last": 8}
    assert operand_bits(graph, operands, tensors) == {"plus": 16, "prelu": 8, "last": 8}
    assert operand_bits(graph, operands, dict.fromkeys(tensors, 16)) == {"plus": 16, "prelu": 8, "last": 16}


def test_before_training_wide_activations_are_warned_of_and_refused_where_there_is_no_kernel(capsys):
    from qatflow.compress.widths import check_widths
    from qatflow.config.recipe.recipe import QuantizationStrategySection

    def strategy(widths) -> QuantizationStrategySection:
        return QuantizationStrategySection.model_validate({"class": "QuantizationStrategy", "activation_bits": widths})

    graph = small_graph()
    check_widths(graph, strategy(8), ())
    assert capsys.readouterr().out == ""
    check_widths(graph, strategy({"sum": 16}), ())
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("activations of 8 bits: ") and told[0].endswith("activations of 16 bits: sum_relu")
    assert told[1].startswith("warning: LiteRT has no fast kernels for activations of 16 bits: ")
    swish = replace(
        graph, nodes=tuple(replace(n, operation=HardSwish()) if n.name == "sum_relu" else n for n in graph.nodes)
    )
    message = r"activation_bits: .* sum_relu \(HardSwish has no int16 kernel: give sum, sum_relu 8 bits in activation_b"
    for widths in (16, {"sum$": 16}, {"sum_relu": 16}):
        with pytest.raises(UserError, match=message):
            check_widths(swish, strategy(widths), ())
    check_widths(swish, strategy(16), ("sum_relu",))
    check_widths(swish, strategy({"pool": 16}), ())


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("width", range(2, 9))
def test_integers_are_those_of_the_definition_and_go_to_the_device_as_int8(width, per_channel):
    graph = small_graph()
    kind = "channel_wise_abs_max" if per_channel else "abs_max"
    quantised = as_if_quantised(graph, QuantSettings({".*": width}, 8, kind, "moving_average_abs_max"))
    end = 2 ** (width - 1) - 1
    for name, known in quantised.weight_scales.items():
        kernel, integers = graph.weights[name].astype(np.float64), quantised.weights[name]
        channels = 1 if not per_channel or kernel.ndim == 2 else 4  # all convolutions have four
        flat = kernel.reshape(-1, channels)
        scale = np.abs(flat).max(axis=0) / end
        assert known.bits == width and integers.dtype == np.int8
        # times a power of two for finer steps of the bias (tests/graph/test_bias_steps.py)
        times = np.abs(integers).max() // end
        assert times in ((1, 2, 4, 8, 16, 32, 64) if width < 8 else (1,))
        np.testing.assert_allclose(known.scale, scale / times, rtol=1e-6)
        np.testing.assert_array_equal(integers.reshape(flat.shape), np.clip(np.rint(flat / scale), -end, end) * times)
    in_file = {o.kernel.name: o.kernel for o in operators(convert(quantised).content) if o.kernel is not None}
    assert set(in_file) == set(quantised.weight_scales)
    for name, kernel in in_file.items():
        assert kernel.dtype == "INT8"
        found, trained = np.abs(kernel.data), np.abs(quantised.weights[name])
        np.testing.assert_array_equal(np.sort(found, None), np.sort(trained, None))


def test_the_device_is_refused_more_than_8_bits_by_the_kernels_name():
    quantised = as_if_quantised(small_graph(), replace(QuantSettings.default(), weight_bits={"dw": 9}))
    assert quantised.weights["dw/depthwise_kernel"].dtype == np.int16
    with pytest.raises(UserError, match=r"dw/depthwise_kernel \(9-bit weights; the kernels take up to 8 bits\)"):
        convert(quantised)
