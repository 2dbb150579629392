"""Integers times a power of two: the same weights, finer biases, and outputs as fake quantisation has them."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph, with_weight
from helpers.numpy_network import execute
from qatflow.graph.bias_steps import bias_steps, with_fine_biases, with_least_integers
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.operations import Conv2DTranspose, DepthwiseConv2D, Input
from qatflow.graph.passes import run_all
from qatflow.graph.shifted import shared_zeros
from qatflow.quantisation.as_if_quantised import as_if_quantised, nearest_integers
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.lower import convert
from qatflow.tflite.read import Operator, operators
from qatflow.tflite.run import Model
from qatflow.trial.float_ranges import float_ranges

TYPES = ("abs_max", "channel_wise_abs_max")


def both(bits: int, kind: str, graph: Graph | None = None) -> tuple[Graph, Graph]:
    """The small graph with its kernels in so many bits: with integers of that width, and as it is exported."""
    graph = small_graph() if graph is None else graph
    settings = QuantSettings({".*": bits}, 8, kind, "moving_average_abs_max")
    ranges = float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), pictures(20))
    return nearest_integers(graph, settings, ranges), as_if_quantised(graph, settings, ranges)


def layers(graph: Graph) -> list[Operator]:
    return [operator for operator in operators(convert(graph).content) if operator.kernel is not None]


def real_kernel(operator: Operator) -> np.ndarray:
    kernel = operator.kernel
    shape = [1] * kernel.data.ndim
    shape[kernel.axis] = -1
    scale = kernel.scale.reshape(shape) if kernel.scale.size > 1 else kernel.scale
    return kernel.data.astype(np.float64) * scale


def steps(operator: Operator) -> np.ndarray:
    """The steps of a bias, in steps of the output."""
    return operator.source.scale.astype(float) * operator.kernel.scale.astype(float) / operator.outputs[0].scale


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_stay_and_biases_are_as_exact_as_int8_has_room_for(bits: int, kind: str):
    plain, fine = both(bits, kind)
    folded, _ = run_all(small_graph())  # float
    coarse = 0
    for before, after in zip(layers(plain), layers(fine), strict=True):
        np.testing.assert_array_equal(real_kernel(before), real_kernel(after))
        assert after.kernel.dtype == "INT8"
        factor = before.kernel.scale / after.kernel.scale
        assert np.unique(factor).size == 1 and float(factor[0]) in 2.0 ** np.arange(7)
        largest = np.abs(after.kernel.data.astype(int)).max()
        assert largest <= 127
        if steps(after).max() > 1 / 8:
            assert 2 * largest > 127, "there was room"
        if factor[0] > 1:
            assert bits < 8 and 2 * steps(after).max() > 1 / 8, "no larger than needed"
            coarse += 1
        real = folded.weights[after.bias.name]
        error = np.abs(after.bias.data * after.bias.scale.astype(float) - real) / after.outputs[0].scale
        assert (error <= steps(after) / 2 + 1e-3).all()
    if bits == 8:
        assert convert(plain).content == convert(fine).content
    else:
        assert coarse or bits > 4
    again = with_fine_biases(fine)
    assert all(again.weights[name] is values for name, values in fine.weights.items())


def coarse_layer() -> Graph:
    """A depthwise layer of 2-bit weights, inputs up to 64 and outputs up to 3: a bias has steps of 21.3 of these."""
    random = np.random.default_rng(2)
    nodes = (
        Node("input", Input((6, 6, 4))),
        Node("dw", DepthwiseConv2D((1, 1), "same", activation="relu"), ("input",)),
    )
    kernel = random.choice([-1, 1], (3, 3, 4, 1)).astype(np.int8)
    bias = np.asarray([0.5, -3.5, 7.5, 0.25], np.float32) * np.float32(64 / 255)
    largest = {"input": 64, "dw": 3}
    scales = {name: ActivationScale(8, float(np.float32(end / 255)), -128) for name, end in largest.items()}
    weights = {"dw/depthwise_kernel": kernel, "dw/bias": bias}
    return Graph(nodes, ("dw",), weights, {"dw/depthwise_kernel": WeightScale(2, np.ones(1, np.float32))}, scales)


def test_outputs_are_those_of_fake_quantisation():
    """A step of the output at most, where integers of -1 and 1 alone miss by as much as half a step of the bias."""
    graph = coarse_layer()
    inputs = np.random.default_rng(3).integers(0, 2, (200, 6, 6, 4)).astype(np.float32) * np.float32(64 / 255)
    expected = execute(replace(graph.in_real_values(), activation_scales=graph.activation_scales), inputs, True)["dw"]
    apart = {}
    for name, one in (("plain", graph), ("fine", with_fine_biases(graph))):
        found = Model(convert(one).content).outputs(inputs).reshape(expected.shape)
        apart[name] = np.abs(found - expected).max(axis=(0, 1, 2)) / (3 / 255)
    np.testing.assert_allclose(apart["plain"], np.asarray([0.5, 0.5, 0.5, 0.25]) * 64 / 3, atol=1)
    assert apart["fine"].max() <= 1.01
    (fine,) = bias_steps(with_fine_biases(graph))
    assert fine.steps == pytest.approx([64 / 3 / 64] * 4), "all that int8 has room for"


def test_a_bias_that_int32_holds_is_still_held():
    """Channel 1 has a bias of 2^28.5 of its steps: integers twice as large are all that it leaves room for."""
    graph = coarse_layer()
    bias = graph.weights["dw/bias"].copy()
    bias[1] = -(2.0**28.5) * 64 / 255
    fine = with_fine_biases(with_weight(graph, "dw/bias", bias))
    assert set(np.unique(fine.weights["dw/depthwise_kernel"])) == {-2, 2}
    (layer,) = layers(fine)
    np.testing.assert_allclose(layer.bias.data, bias.astype(np.float64) / (64 / 255) * 2, atol=0.51, rtol=1e-6)
    # one without a kernel gets a scale of its own
    kernel = graph.weights["dw/depthwise_kernel"].copy()
    kernel[:, :, 1] = 0
    silent = with_weight(with_weight(graph, "dw/bias", bias), "dw/depthwise_kernel", kernel)
    assert set(np.unique(with_fine_biases(silent).weights["dw/depthwise_kernel"])) == {-64, 0, 64}


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_int4_kernels_get_the_least_integers_back(bits: int):
    plain, fine = both(bits, "channel_wise_abs_max")
    least = with_least_integers(fine)
    changed = {name for name in plain.weights if not np.array_equal(plain.weights[name], fine.weights[name])}
    assert changed or bits == 5
    for name, values in plain.weights.items():
        np.testing.assert_array_equal(least.weights[name], values if bits <= 4 else fine.weights[name])
    # a transposed convolution stays int8
    node = Node("up", Conv2DTranspose((2, 2), "same"), ("input",))
    graph = Graph(
        (Node("input", Input((4, 4, 2))), node), ("up",), {"up/kernel": np.full((2, 2, 2, 3), 16, np.int8)},
        {"up/kernel": WeightScale(bits, np.ones(1, np.float32))},
    )  # fmt: skip
    assert with_least_integers(graph).weights["up/kernel"] is graph.weights["up/kernel"]


def test_bits_that_all_integers_have_as_0():
    for values, expected in (([0, 0], 0), ([0, 64, -64], 6), ([-128], 7), ([12, 8, -4], 2), ([12, 8, -3], 0), ([], 0)):
        assert shared_zeros(np.asarray(values, np.int8)) == expected
