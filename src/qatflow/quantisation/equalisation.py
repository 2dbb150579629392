"""Cross-layer equalisation: the channels between two layers without batch-norm get equal ranges in both kernels.

Nagel et al. 2019, arXiv:1906.04721, §4.1. An output channel of the first kernel, and its bias, are divided by s, and
the same input channel of the second is multiplied by s: s = √(r₁ r₂) / r₂ with the ranges r = max|w| of the channel in
both. What is in between must pass factors on: ReLU does, ReLU6 does not. The paper would give ReLU6 a bound for each
channel, which no int8 kernel has, so pairs around one stay as they are. All pairs are done in turn until nothing
changes, which brings the three kernels of conv – depthwise conv – conv to one range as well.

Layers with batch-norm are left to `compress/preparation.py`, which equalises within them.
"""

from dataclasses import dataclass, replace

import numpy as np

from qatflow.graph.edit import only_consumer
from qatflow.graph.families import REMOVED
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    AveragePool,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    GlobalMaxPool,
    MaxPool,
    Pad,
    Relu,
)

SCALED = (Relu, Pad, AveragePool, MaxPool, GlobalAveragePool, GlobalMaxPool, *REMOVED)
"""Operations of which each output channel is multiplied by a factor above 0 where the input channel is."""
LAYERS = (Conv2D, DepthwiseConv2D, Conv2DTranspose, Dense)
LEAST_RANGE = 1e-4
"""Range of a channel against that of the largest; a channel below this is dead in that kernel, and is left as it is."""
ROUNDS = 100
CLOSE = 1e-3
"""How near to 1 all factors of a round are in the end."""


@dataclass(frozen=True)
class Pair:
    """Two layers with nothing in between but what passes factors on."""

    first: Node
    second: Node


def pairs(graph: Graph) -> list[Pair]:
    """Return the pairs of layers of a float graph that can be equalised, in the graph's order."""
    found = []
    for node in graph.nodes:
        if isinstance(node.operation, LAYERS) and getattr(node.operation, "activation", None) in (None, "relu"):
            behind = only_consumer(graph, node)
            while behind is not None and isinstance(behind.operation, SCALED) and _scales(behind):
                behind = only_consumer(graph, behind)
            if behind is not None and isinstance(behind.operation, LAYERS) and behind.groups == 1:
                found.append(Pair(node, behind))
    return found


def equalised(graph: Graph) -> tuple[Graph, list[str]]:
    """Return the float graph with equal ranges, which computes the same up to rounding, and a line for each pair.

    Args:
        graph: float.
    """
    weights = {name: values.astype(np.float64) for name, values in graph.weights.items()}
    found = pairs(graph)
    for _ in range(ROUNDS):
        factors = [_equalise(weights, graph, pair) for pair in found]
        if all(np.abs(factor - 1).max() < CLOSE for factor in factors):
            break
    touched = {name for pair in found for name in (pair.first.weight("bias"), pair.first.kernel, pair.second.kernel)}
    changed = {name: weights[name].astype(np.float32) for name in touched if name in weights}
    lines = [f"{pair.first.name} and {pair.second.name}" for pair in found]
    return replace(graph, weights={**graph.weights, **changed}), lines


def _scales(node: Node) -> bool:
    return not (isinstance(node.operation, Pad) and node.operation.lowest)


def _equalise(weights: dict[str, np.ndarray], graph: Graph, pair: Pair) -> np.ndarray:
    """Change the weights of a pair; return the factors of the channels."""
    first, second = pair.first, pair.second
    assert first.kernel is not None and second.kernel is not None and second.layout is not None
    made, read = weights[first.kernel], weights[second.kernel]
    channels = graph.kernel_channels(first)
    axis = second.layout.reads
    others = tuple(i for i in range(read.ndim) if i != axis)
    before = np.abs(made).reshape(-1, channels).max(axis=0)
    after = np.abs(read).max(axis=others)
    alive = (before > LEAST_RANGE * before.max()) & (after > LEAST_RANGE * after.max())
    factor = np.ones(channels)
    factor[alive] = np.sqrt(before[alive] * after[alive]) / after[alive]
    weights[first.kernel] = (made.reshape(-1, channels) / factor).reshape(made.shape)
    bias = first.weight("bias")
    if bias in weights:
        weights[bias] = weights[bias] / factor
    shape = [1] * read.ndim
    shape[axis] = channels
    weights[second.kernel] = read * factor.reshape(shape)
    return factor
