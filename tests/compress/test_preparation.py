"""Equal channel ranges for one scale a tensor: the same function, and as fine a grid as a scale for each channel."""

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph, with_weight
from helpers.numpy_network import execute
from qatflow.compress.preparation import equalise
from qatflow.graph.graph import Graph

LAYERS = {"conv": 4, "dw": 4, "left": 4}  # and their channels


def ranges(graph: Graph, layer: str) -> np.ndarray:
    role = "depthwise_kernel" if layer == "dw" else "kernel"
    return np.abs(graph.weights[f"{layer}/{role}"].reshape(-1, LAYERS[layer])).max(axis=0)


def uneven() -> Graph:
    """The small graph with channels that differ a hundredfold, before batch-norm's moving statistics are scaled too."""
    graph = small_graph()
    factors = np.array([1, 0.01, 0.3, 0.05], np.float32)
    graph = with_weight(graph, "conv/kernel", graph.weights["conv/kernel"] * factors)
    return with_weight(graph, "dw/depthwise_kernel", graph.weights["dw/depthwise_kernel"] * factors[:, None])


def test_the_function_stays_the_same():
    graph = uneven()
    equal, changed = equalise(graph, [*LAYERS, "logits"])
    assert changed == list(LAYERS)
    images = pictures(8)
    before, after = (execute(g, images) for g in (graph, equal))
    for name in ("conv_relu", "dw_relu", "sum_relu", "probabilities"):
        np.testing.assert_allclose(after[name], before[name], rtol=2e-5, atol=2e-5, err_msg=name)


def test_every_channel_has_the_geometric_mean_of_the_ranges():
    graph = uneven()
    equal, _ = equalise(graph, LAYERS)
    for layer, channels in LAYERS.items():
        assert ranges(graph, layer).min() < 0.9 * ranges(graph, layer).max()
        mean = np.prod(ranges(graph, layer).astype(np.float64)) ** (1 / channels)
        np.testing.assert_allclose(ranges(equal, layer), mean, rtol=1e-6)


def test_a_kernel_of_zeros_stays():
    graph = with_weight(small_graph(), "conv/kernel", np.zeros((3, 3, 2, 4), np.float32))
    equal, changed = equalise(graph, LAYERS)
    assert changed == ["dw", "left"]
    assert not equal.weights["conv/kernel"].any()
    np.testing.assert_array_equal(equal.weights["conv_bn/gamma"], graph.weights["conv_bn/gamma"])


def test_layers_that_are_not_named_and_layers_without_batch_norm_stay():
    graph = uneven()
    equal, changed = equalise(graph, ["dw", "logits"])
    assert changed == ["dw"]
    for name in ("conv/kernel", "conv_bn/gamma", "left/kernel", "logits/kernel", "logits/bias"):
        np.testing.assert_array_equal(equal.weights[name], graph.weights[name])


@pytest.mark.parametrize("size", [0.0, 1e-20])
def test_a_dead_channel_stays_dead(size: float):
    graph = small_graph()
    kernel = graph.weights["conv/kernel"].copy()
    kernel[..., 2] *= size
    graph = with_weight(graph, "conv/kernel", kernel)
    equal, _ = equalise(graph, LAYERS)
    np.testing.assert_array_equal(equal.weights["conv/kernel"][..., 2], kernel[..., 2])
    assert all(np.isfinite(values).all() for values in equal.weights.values())
    images = pictures(4)
    before, after = (execute(g, images)["probabilities"] for g in (graph, equal))
    np.testing.assert_allclose(after, before, rtol=2e-5, atol=2e-6)


@pytest.mark.tensorflow
def test_one_scale_a_tensor_then_costs_what_a_scale_a_channel_does():
    from qatflow.compress.quantizers.fake_quant import fake_quant_weight

    graph = uneven()
    equal, _ = equalise(graph, LAYERS)

    def noise(graph: Graph, channels: int | None) -> float:
        """Of the convolution's kernel, each channel's against its own size."""
        kernel = graph.weights["conv/kernel"]
        error = fake_quant_weight(kernel, 8, channels).numpy() - kernel
        return float(((error**2).sum(axis=(0, 1, 2)) / (kernel**2).sum(axis=(0, 1, 2))).mean())

    per_channel, one_scale = noise(graph, 4), noise(graph, None)
    assert one_scale > 100 * per_channel
    assert noise(equal, None) < 1.5 * per_channel
