"""A graph with all that channels can meet: a concatenation, a depthwise multiplier, a gate, ties, flattening, dense."""

import numpy as np

from helpers.graphs import NORM
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    Input,
    Multiply,
    Relu,
    Reshape,
    Softmax,
)

SAME = Conv2D((1, 1), "same")


def branching(seed: int = 0) -> Graph:
    """Pictures of 6 × 6 × 2, 3 classes.

    Channels: first 4, second 3; joined (first, second) 7; wide, a depthwise of multiplier 2 on `second`, 6; tied to it
    `beside` 6; gated by `gate` (of the sum's means) 6; flattened 216; hidden 5; logits 3.
    """
    nodes = (
        Node("input", Input((6, 6, 2))),
        Node("first", SAME, ("input",)),
        Node("first_bn", NORM, ("first",)),
        Node("first_relu", Relu(), ("first_bn",)),
        Node("second", SAME, ("first_relu",)),
        Node("second_relu", Relu(), ("second",)),
        Node("joined", Concat(), ("first_relu", "second_relu")),
        Node("wide", DepthwiseConv2D((1, 1), "same"), ("second_relu",)),
        Node("beside", SAME, ("joined",)),
        Node("sum", Add(), ("wide", "beside")),
        Node("means", GlobalAveragePool(keepdims=True), ("sum",)),
        Node("gate", SAME, ("means",)),
        Node("gated", Multiply(), ("sum", "gate")),
        Node("flat", Reshape((216,)), ("gated",)),
        Node("hidden", Dense(), ("flat",)),
        Node("hidden_relu", Relu(), ("hidden",)),
        Node("logits", Dense(), ("hidden_relu",)),
        Node("probabilities", Softmax(), ("logits",)),
    )
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(0, 0.4, shape).astype(np.float32)

    weights = {
        "first/kernel": normal(3, 3, 2, 4),
        "first_bn/gamma": normal(4) + 1,
        "first_bn/beta": normal(4),
        "first_bn/moving_mean": normal(4),
        "first_bn/moving_variance": normal(4) ** 2 + 0.1,
        "second/kernel": normal(1, 1, 4, 3),
        "second/bias": normal(3),
        "wide/depthwise_kernel": normal(3, 3, 3, 2),
        "wide/bias": normal(6),
        "beside/kernel": normal(3, 3, 7, 6),
        "beside/bias": normal(6),
        "gate/kernel": normal(1, 1, 6, 6),
        "gate/bias": normal(6),
        "hidden/kernel": normal(216, 5),
        "hidden/bias": normal(5),
        "logits/kernel": normal(5, 3),
        "logits/bias": normal(3),
    }
    return Graph(nodes, ("probabilities",), weights)
