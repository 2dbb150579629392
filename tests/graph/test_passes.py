"""The passes change the graph, not what it computes: held to NumPy in float64."""

import numpy as np
import pytest

from helpers.graphs import NORM, pictures, small_graph, with_weight
from helpers.numpy_network import execute
from qatflow.graph.graph import Graph, Node, WeightScale
from qatflow.graph.operations import Conv2D, DepthwiseConv2D, Input, Pad
from qatflow.graph.passes import PASSES, fold_batch_norm, fold_padding, run_all


def test_all_passes_leave_the_outputs_as_they_were():
    graph, images = small_graph(), pictures()
    passed, _ = run_all(graph)
    before = execute(graph, images)["probabilities"]
    np.testing.assert_allclose(execute(passed, images)[passed.outputs[0]], before, rtol=0, atol=1e-6)


def test_the_passes_leave_only_what_the_device_runs():
    passed, done = run_all(small_graph())
    assert [(n.name, type(n.operation).__name__) for n in passed.nodes] == [
        ("input", "Input"), ("conv", "Conv2D"), ("dw", "DepthwiseConv2D"), ("left", "Conv2D"), ("sum", "Add"),
        ("pool", "GlobalAveragePool"), ("logits", "Dense"), ("probabilities", "Softmax"),
    ]  # fmt: skip
    assert list(done) == list(PASSES)
    assert done["fold_padding"] == ["pad folded into dw"]
    assert passed.node("conv").operation.activation == "relu6"
    assert passed.node("left").operation.activation is None
    assert passed.node("sum").operation.activation == "relu"


def test_batch_norm_folds_into_the_scale_and_keeps_the_integers():
    graph = small_graph()
    integers = np.random.default_rng(5).integers(-127, 128, (3, 3, 2, 4)).astype(np.int8)
    graph = Graph(
        graph.nodes, graph.outputs, {**graph.weights, "conv/kernel": integers},
        weight_scales={"conv/kernel": WeightScale(8, np.float32([0.01]))}, aliases=graph.aliases,
    )  # fmt: skip
    folded, _ = fold_batch_norm(graph)
    gamma, variance = graph.weights["conv_bn/gamma"], graph.weights["conv_bn/moving_variance"]
    factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + 1e-3)
    np.testing.assert_array_equal(folded.weights["conv/kernel"], integers * np.sign(gamma).astype(np.int8))
    np.testing.assert_allclose(folded.weight_scales["conv/kernel"].scale, 0.01 * np.abs(factor), rtol=1e-6)
    images = pictures()
    np.testing.assert_allclose(
        execute(folded, images)["conv_relu"], execute(graph, images)["conv_relu"], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("size", "rows", "folds"), [(8, (0, 1), True), (7, (0, 1), False), (8, (1, 0), False)])
def test_padding_folds_only_where_same_pads_alike(size: int, rows: tuple[int, int], folds: bool):
    nodes = (
        Node("input", Input((size, size, 4))),
        Node("pad", Pad(rows, rows), ("input",)),
        Node("dw", DepthwiseConv2D((2, 2), "valid"), ("pad",)),
    )
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 1)).astype(np.float32)
    graph = Graph(nodes, ("dw",), {"dw/depthwise_kernel": kernel})
    folded, done = fold_padding(graph)
    assert bool(done) == folds
    assert ("pad" not in [n.name for n in folded.nodes]) == folds
    images = np.random.default_rng(1).normal(size=(2, size, size, 4))
    np.testing.assert_array_equal(execute(folded, images)["dw"], execute(graph, images)["dw"])


def test_batch_norm_with_two_readers_before_it_is_left_alone():
    nodes = (
        Node("input", Input((4, 4, 2))),
        Node("conv", Conv2D((1, 1), "same"), ("input",)),
        Node("conv_bn", NORM, ("conv",)),
    )
    weights = {k: v for k, v in small_graph().weights.items() if k.startswith("conv")}
    graph = Graph(nodes, ("conv_bn", "conv"), weights)
    folded, done = fold_batch_norm(graph)
    assert done == []
    assert folded == graph


def test_a_gamma_of_zero_makes_its_channel_its_beta():
    graph = small_graph()
    graph = with_weight(graph, "conv_bn/gamma", np.float32([0, 1, -1, 0.5]))
    folded, _ = fold_batch_norm(graph)
    assert not folded.weights["conv/kernel"][..., 0].any()
    assert folded.weights["conv/bias"][0] == graph.weights["conv_bn/beta"][0]
