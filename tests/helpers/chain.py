"""A plain network with enough channels to prune by ratio: three convolutions, global average pooling, dense."""

import numpy as np

from helpers.graphs import NORM
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Dense, GlobalAveragePool, Input, Relu, Softmax

CHANNELS = {"a": 24, "b": 40, "c": 60}
SIDE, CLASSES = 6, 4


def chain(seed: int = 0) -> Graph:
    """Pictures of 6 × 6 × 3; each convolution of 3 × 3 with batch-norm and ReLU; 4 classes."""
    random = np.random.default_rng(seed)
    nodes, read, source = [Node("input", Input((SIDE, SIDE, 3)))], 3, "input"
    weights: dict[str, np.ndarray] = {}
    for name, channels in CHANNELS.items():
        nodes += [
            Node(name, Conv2D((1, 1), "same"), (source,)),
            Node(f"{name}_bn", NORM, (name,)),
            Node(f"{name}_relu", Relu(), (f"{name}_bn",)),
        ]
        weights |= {
            # filters of very different sizes, so that it matters which go
            f"{name}/kernel": random.normal(0, 1, (3, 3, read, channels)) * random.uniform(0.01, 1, channels) / read,
            f"{name}_bn/gamma": np.ones(channels),
            f"{name}_bn/beta": np.zeros(channels),
            f"{name}_bn/moving_mean": np.zeros(channels),
            f"{name}_bn/moving_variance": np.ones(channels),
        }
        read, source = channels, f"{name}_relu"
    nodes += [
        Node("pool", GlobalAveragePool(keepdims=False), (source,)),
        Node("logits", Dense(), ("pool",)),
        Node("probabilities", Softmax(), ("logits",)),
    ]
    weights |= {"logits/kernel": random.normal(0, 20, (read, CLASSES)), "logits/bias": np.zeros(CLASSES)}
    return Graph(
        tuple(nodes), ("probabilities",), {name: values.astype(np.float32) for name, values in weights.items()}
    )


def multiply_adds(a: int, b: int, c: int) -> int:
    """Of the chain with so many channels, by hand."""
    return SIDE**2 * 9 * (3 * a + a * b + b * c) + c * CLASSES


def parameters(a: int, b: int, c: int) -> int:
    """Of the chain with so many channels, by hand."""
    return 9 * (3 * a + a * b + b * c) + 4 * (a + b + c) + (c + 1) * CLASSES
