"""Small graphs for tests, with weights that are not trivial: negative gammas, large and small variances."""

from dataclasses import replace

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePool,
    Input,
    Pad,
    Relu,
    Relu6,
    Softmax,
)

NORM = BatchNorm(epsilon=1e-3, momentum=0.9)


def small_graph(seed: int = 0, size: int = 8) -> Graph:
    """A residual MobileNet in little: pad + strided depthwise, batch-norm, ReLU6, an addition, a dense classifier."""
    nodes = (
        Node("input", Input((size, size, 2))),
        Node("conv", Conv2D((1, 1), "same"), ("input",)),
        Node("conv_bn", NORM, ("conv",)),
        Node("conv_relu", Relu6(), ("conv_bn",)),
        Node("pad", Pad((0, 1), (0, 1)), ("conv_relu",)),
        Node("dw", DepthwiseConv2D((2, 2), "valid"), ("pad",)),
        Node("dw_bn", NORM, ("dw",)),
        Node("dw_relu", Relu6(), ("dw_bn",)),
        Node("left", Conv2D((1, 1), "same"), ("dw_relu",)),
        Node("left_bn", NORM, ("left",)),
        Node("sum", Add(), ("dw_relu", "left_bn")),
        Node("sum_relu", Relu(), ("sum",)),
        Node("pool", GlobalAveragePool(keepdims=False), ("sum_relu",)),
        Node("dropout", Dropout(0.1), ("pool",)),
        Node("logits", Dense(), ("dropout",)),
        Node("probabilities", Softmax(), ("logits",)),
    )
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(0, 0.5, shape).astype(np.float32)

    weights = {
        "conv/kernel": normal(3, 3, 2, 4),
        "dw/depthwise_kernel": normal(3, 3, 4, 1),
        "left/kernel": normal(1, 1, 4, 4),
        "left/bias": normal(4),
        "logits/kernel": normal(4, 3),
        "logits/bias": normal(3),
    }
    for name in ("conv_bn", "dw_bn", "left_bn"):
        weights |= {
            f"{name}/gamma": random.uniform(0.3, 1.5, 4).astype(np.float32) * np.array([1, -1, 1, -1], np.float32),
            f"{name}/beta": normal(4) + 1,
            f"{name}/moving_mean": normal(4),
            f"{name}/moving_variance": random.uniform(0.05, 3, 4).astype(np.float32),
        }
    return Graph(nodes, ("probabilities",), weights, aliases={"image": "input", "fc_0.tmp_2": "probabilities"})


def with_weight(graph: Graph, name: str, values: np.ndarray) -> Graph:
    """The graph with one weight replaced."""
    return replace(graph, weights={**graph.weights, name: values})


def pictures(count: int = 4, size: int = 8, seed: int = 1) -> np.ndarray:
    """Pictures for `small_graph`, float32 [count, size, size, 2]."""
    return np.random.default_rng(seed).normal(0, 1, (count, size, size, 2)).astype(np.float32)
