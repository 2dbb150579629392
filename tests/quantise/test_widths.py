"""Which width the integers of each kernel have, and the integers themselves, against the definition in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Add, Conv2D, Dense, GlobalAveragePool, Input, Softmax
from qatflow.quantise.as_if_quantised import as_if_quantised
from qatflow.quantise.placement import QuantSettings, quantised_kernels
from qatflow.quantise.widths import end_layers, kernel_bits
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
        np.testing.assert_allclose(known.scale, scale, rtol=1e-6)
        np.testing.assert_array_equal(integers.reshape(flat.shape), np.clip(np.rint(flat / scale), -end, end))
        assert np.abs(integers).max() == end
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
