"""A graph in other sizes is the network that Keras builds in those sizes."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np
import pytest

from helpers.branching import branching
from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from helpers.small_networks import NETWORKS, network
from qatflow.graph.channels import channels
from qatflow.graph.counts import total
from qatflow.graph.graph import Graph, WeightScale
from qatflow.graph.operations import DepthwiseConv2D, Pad
from qatflow.graph.resized import Sizes, fixed_channels, fixed_windows, resized
from qatflow.graph.shapes import shapes
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model

pytestmark = pytest.mark.tensorflow

BUILDERS = {"MobileNetV1": "MobileNet", "MobileNetV2": "MobileNetV2"}


def keras_model(name: str, alpha: float):
    import tf_keras
    from tf_keras import applications

    tf_keras.backend.clear_session()  # names of layers then begin anew
    return getattr(applications, BUILDERS[name])((32, 32, 1), alpha=alpha, weights=None, classes=10)


def keras_graph(name: str, alpha: float) -> Graph:
    from qatflow.models.from_keras import graph_of

    return graph_of(keras_model(name, alpha))


def weight_shapes(graph: Graph) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in graph.weights.items()}


def sizes_of(graph: Graph, like: Graph) -> Sizes:
    """Every group as wide as in another graph of the same layers."""
    return Sizes(channels={group.name: like.weights[group.name].shape[-1] for group in channels(graph).groups})


@pytest.mark.parametrize(("name", "alpha"), [("MobileNetV1", 0.5), ("MobileNetV1", 0.1), ("MobileNetV2", 1.0)])
def test_widths_of_a_mobilenet_are_those_of_keras(name: str, alpha: float):
    graph, wanted = keras_graph(name, 0.25 if name == "MobileNetV1" else 0.35), keras_graph(name, alpha)
    got = resized(graph, channels(graph), sizes_of(graph, wanted), seed=0)
    assert weight_shapes(got) == weight_shapes(wanted)
    assert shapes(got) == shapes(wanted)
    # what Keras counts on its own, and papers' definition over its layers
    model = keras_model(name, alpha)
    assert total(got).parameters == model.count_params()
    products = 0
    for layer in model.layers:
        kernel = next((w for w in layer.weights if "kernel" in w.name), None)
        if kernel is not None:
            products += prod(kernel.shape) * prod(layer.output_shape[1:-1])
    assert total(got).multiply_adds == products


@pytest.mark.parametrize("name", ["MobileNetV1", "MobileNetV2"])
@pytest.mark.parametrize("window", [3, 5, 7])
def test_another_window_leaves_every_tensor_its_height_and_width(name: str, window: int):
    graph = network(name)
    kernels = [node.kernel for node in graph.nodes if isinstance(node.operation, DepthwiseConv2D)]
    assert not fixed_windows(graph) and len(kernels) > 10
    got = resized(graph, channels(graph), Sizes(windows=dict.fromkeys(kernels, window)), seed=0)
    before, after = shapes(graph), shapes(got)
    for node in graph.nodes:
        if isinstance(node.operation, Pad):
            # MobileNet pads by hand: as much as the window is larger
            assert after[node.name] == (*(size + window - 3 for size in before[node.name][:2]), before[node.name][2])
        else:
            assert after[node.name] == before[node.name]
    for kernel in kernels:
        assert got.weights[kernel].shape == (window, window, *graph.weights[kernel].shape[2:])
    grown = sum(
        (window**2 - 9) * prod(before[node.name]) for node in graph.nodes if isinstance(node.operation, DepthwiseConv2D)
    )
    assert total(got).multiply_adds - total(graph).multiply_adds == grown
    # Keras pads a larger window so itself (imagenet_utils.correct_pad)
    from tf_keras.src.applications.imagenet_utils import correct_pad

    if name == "MobileNetV2":
        for node in got.nodes:
            if isinstance(node.operation, Pad):
                zeros = np.zeros((1, *before[node.inputs[0]]), np.float32)
                assert (node.operation.rows, node.operation.columns) == correct_pad(zeros, window)


@pytest.mark.parametrize("make", [small_graph, branching, *(partial(network, name) for name in NETWORKS)])
def test_a_graph_of_the_same_sizes_has_the_same_shapes(make: Callable[[], Graph]):
    graph = make()
    found = channels(graph)
    same = resized(graph, found, Sizes(), seed=3)
    assert same.nodes == graph.nodes and same.outputs == graph.outputs and same.aliases == graph.aliases
    assert weight_shapes(same) == weight_shapes(graph)


@pytest.mark.parametrize("make", [small_graph, branching, *(partial(network, name) for name in NETWORKS)])
def test_a_graph_in_other_sizes_runs_in_litert(make: Callable[[], Graph]):
    graph = make()
    found = channels(graph)
    fixed = fixed_channels(found)
    # wider and thinner in turn
    factors = itertools.cycle([1.5, 0.5])
    other = {g.name: max(1, round(next(factors) * g.size)) for g in found.groups if g.name not in fixed}
    assert other
    got = resized(graph, found, Sizes(channels=other), seed=1)
    known = shapes(graph)
    assert shapes(got)[got.outputs[0]] == known[graph.outputs[0]]
    places = [[shape[:-1] for shape in one.values() if len(shape) == 3] for one in (shapes(got), known)]
    assert places[0] == places[1]
    # a grouped convolution ties several channels of a layer, one of each of its groups
    tied = {g.name: graph.weights[g.name].shape[-1] // g.size for g in found.groups}
    assert all(got.weights[name].shape[-1] == number * tied[name] for name, number in other.items())
    assert all(values.dtype == np.float32 for values in got.weights.values())
    # as if trained: with fresh statistics a deep network's pictures all look the same
    lively = {name: 3 * values if name.endswith("gamma") else values for name, values in got.weights.items()}
    images = np.random.default_rng(0).uniform(-1, 1, (2, *known[graph.nodes[0].name])).astype(np.float32)
    answers = Model(convert(replace(got, weights=lively)).content).outputs(images)
    assert np.isfinite(answers).all() and np.ptp(answers, axis=0).max() > 1e-6


def test_a_window_of_five_computes_what_its_definition_says():
    graph = small_graph()
    assert not fixed_windows(graph)
    got = resized(graph, channels(graph), Sizes(windows={"dw/depthwise_kernel": 5}), seed=0)
    images = pictures(4, size=shapes(graph)["input"][0]).astype(np.float32)
    expected = execute(got, images)[got.outputs[0]]
    model = Model(convert(got).content)
    answers = model.outputs(images)
    np.testing.assert_allclose(answers, expected, atol=1e-5)


def test_weights_are_drawn_as_keras_draws_them_and_by_the_seed():
    graph = network("MobileNetV1")
    found = channels(graph)
    first, again, other = (resized(graph, found, Sizes(), seed=seed) for seed in (1, 1, 2))
    wide = resized(graph, found, Sizes(channels={"conv1/kernel": 16}), seed=1)
    kept = "conv_dw_5/depthwise_kernel"
    for name, values in first.weights.items():
        role = name.rsplit("/", 1)[1]
        np.testing.assert_array_equal(values, again.weights[name])
        if not role.endswith("kernel"):
            np.testing.assert_array_equal(values, 1.0 if role in ("gamma", "moving_variance") else 0.0)
            continue
        assert not np.array_equal(values, other.weights[name])
        *window, reads, makes = values.shape
        limit = np.sqrt(6 / (prod(window) * (reads + makes)))
        assert np.abs(values).max() <= limit
        if values.size > 500:
            assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.1), name
    np.testing.assert_array_equal(wide.weights[kept], first.weights[kept])


def test_a_graph_in_other_sizes_learns():
    import tf_keras

    from qatflow.training.keras_model import training_model

    graph = network("MobileNetV1")
    found = channels(graph)
    sizes = Sizes({"conv1/kernel": 12, "conv_pw_1/kernel": 24}, {"conv_dw_2/depthwise_kernel": 5})
    got = resized(graph, found, sizes, seed=0)
    model = training_model(got, seed=0, step=0).keras
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 64)
    images = (random.normal(0, 0.3, (64, 32, 32, 1)) + (labels[:, None, None, None] - 4.5) / 3).astype(np.float32)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.003), loss)
    losses = model.fit(images, labels, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_what_cannot_change_is_refused_with_the_reason():
    graph = network("MobileNetV1")
    found = channels(graph)
    with pytest.raises(ValueError, match=r"the softmax '.*' is over all of them"):
        resized(graph, found, Sizes({"conv_preds/kernel": 4}), 0)
    with pytest.raises(ValueError, match="no group"):
        resized(graph, found, Sizes({"nothing": 4}), 0)
    with pytest.raises(ValueError, match="at least one"):
        resized(graph, found, Sizes({"conv1/kernel": 0}), 0)
    with pytest.raises(ValueError, match="odd"):
        resized(graph, found, Sizes(windows={"conv_dw_1/depthwise_kernel": 4}), 0)
    with pytest.raises(ValueError, match="no depthwise"):
        resized(graph, found, Sizes(windows={"conv1/kernel": 5}), 0)
    quantised = replace(graph, weight_scales={"conv1/kernel": WeightScale(8, np.ones(1, np.float32))})
    with pytest.raises(ValueError, match="quantisation comes last"):
        resized(quantised, found, Sizes(), 0)
