"""Cross-layer equalisation: equal ranges, and the same function."""

import numpy as np

from helpers.numpy_network import execute
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Dense, DepthwiseConv2D, GlobalAveragePool, Input, Operation, Relu, Relu6
from qatflow.quantisation.equalisation import equalised, pairs


def network(between: Operation) -> Graph:
    """conv – depthwise – conv with fused ReLU – pool – dense, without batch-norm and with ranges far apart."""
    nodes = (
        Node("input", Input((6, 6, 2))),
        Node("first", Conv2D((1, 1), "same"), ("input",)),
        Node("clipped", between, ("first",)),
        Node("depthwise", DepthwiseConv2D((1, 1), "same"), ("clipped",)),
        Node("clipped_too", Relu(), ("depthwise",)),
        Node("last", Conv2D((1, 1), "same", activation="relu"), ("clipped_too",)),
        Node("pool", GlobalAveragePool(keepdims=False), ("last",)),
        Node("logits", Dense(), ("pool",)),
    )
    random = np.random.default_rng(0)
    spread = np.array([0.1, 1, 5, 0.5])
    weights = {
        "first/kernel": random.normal(0, 1, (3, 3, 2, 4)) * spread,
        "first/bias": random.normal(0, 1, 4) * spread,
        "depthwise/depthwise_kernel": random.normal(0, 1, (3, 3, 4, 1)) * spread[::-1, None],
        "depthwise/bias": random.normal(0, 1, 4),
        "last/kernel": random.normal(0, 1, (1, 1, 4, 5)),
        "logits/kernel": random.normal(0, 1, (5, 3)),
    }
    return Graph(nodes, ("logits",), {name: values.astype(np.float32) for name, values in weights.items()})


def ranges(graph: Graph, kernel: str, axis: int) -> np.ndarray:
    largest: np.ndarray = np.abs(np.moveaxis(graph.weights[kernel], axis, -1)).reshape(-1, 4).max(axis=0)
    return largest


def test_three_layers_get_the_same_ranges_and_the_outputs_stay():
    before = network(Relu())
    after, changed = equalised(before)
    assert changed == ["first and depthwise", "depthwise and last", "last and logits"]
    images = np.random.default_rng(1).normal(0, 1, (4, 6, 6, 2)).astype(np.float32)
    wanted, found = (execute(graph, images)["logits"] for graph in (before, after))
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    first = ranges(after, "first/kernel", 3)
    np.testing.assert_allclose(ranges(after, "depthwise/depthwise_kernel", 2), first, rtol=5e-3)
    np.testing.assert_allclose(ranges(after, "last/kernel", 2), first, rtol=5e-3)
    assert np.ptp(np.log(ranges(before, "first/kernel", 3))) > 1


def test_nothing_goes_through_a_relu6():
    assert [(pair.first.name, pair.second.name) for pair in pairs(network(Relu6()))] == [
        ("depthwise", "last"), ("last", "logits"),
    ]  # fmt: skip
