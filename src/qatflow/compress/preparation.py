"""Changes to a float graph before it is quantised or clustered, which keep the function that it computes.

`equalise`: for one scale per tensor, the channels of a kernel are brought to the same range. A batch-normalised layer
computes the same function when a channel of its kernel is multiplied by f, its moving mean by f and its moving variance
by f². So the ranges of the channels, which share one scale, can be chosen freely: when they are equal, each channel
gets as many steps as with a scale of its own. (Nagel et al. 2019, arXiv:1906.04721, §4.1, equalise between layers,
through the ReLU; with batch-norm it is exact within a layer, also before a ReLU6.) It is done before clusters are
found, since a factor per channel would multiply the number of values in a kernel.

`with_positive_gammas`: negative factors of batch-norm are moved into the kernels. Folding multiplies the sign of gamma
into a channel's integers, so that a clustered kernel would have values of both signs for each cluster. Only signs
change, so the function is the same to the bit.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from qatflow.graph.edit import only_consumer
from qatflow.graph.graph import Graph, Node, along_channels
from qatflow.graph.operations import BatchNorm

LEAST_RANGE = 1e-4
"""Range of a channel against that of the largest; a channel below this is dead, and is left as it is."""


def equalise(graph: Graph, layers: Collection[str]) -> tuple[Graph, list[str]]:
    """Return the float graph with equal channel ranges, and the names of the layers that were changed.

    Gamma makes up for epsilon, so that the function with the moving statistics is the same up to rounding.

    Args:
        graph: float.
        layers: names of the nodes whose kernels will be quantised; layers without batch-norm behind them, and kernels
            that are all zero, stay as they are.
    """
    weights = dict(graph.weights)
    changed = []
    for node in graph.nodes:
        norm = only_consumer(graph, node) if node.name in layers else None
        if norm is not None and isinstance(norm.operation, BatchNorm):
            equal = _equal(graph, node, norm, norm.operation.epsilon)
            if equal:
                weights |= equal
                changed.append(node.name)
    return replace(graph, weights=weights), changed


def _equal(graph: Graph, node: Node, norm: Node, epsilon: float) -> dict[str, np.ndarray]:
    """Return the changed weights by name; none for a kernel of zeros."""
    assert node.kernel is not None
    names = [norm.weight(role) for role in ("gamma", "moving_mean", "moving_variance")]
    kernel, gamma, mean, variance = (graph.weights[name].astype(np.float64) for name in (node.kernel, *names))
    largest = np.abs(kernel).reshape(-1, mean.size).max(axis=0)
    alive = largest > LEAST_RANGE * largest.max()
    if not alive.any():
        return {}
    # the geometric mean keeps the size of the kernel as a whole, on which the effect of a learning rate depends
    common = np.exp(np.log(largest[alive]).mean())
    factor = np.divide(common, largest, out=np.ones_like(largest), where=alive)
    spread = variance * factor**2
    equal = {
        node.kernel: kernel * along_channels(factor, kernel),
        names[0]: gamma * np.sqrt((spread + epsilon) / (variance + epsilon)) / factor,
        names[1]: mean * factor,
        names[2]: spread,
    }
    if node.weight("bias") in graph.weights:
        equal[node.weight("bias")] = graph.weights[node.weight("bias")] * factor
    return {name: values.astype(np.float32) for name, values in equal.items()}


def with_positive_gammas(graph: Graph, kernels: Collection[str]) -> Graph:
    """Return the float graph without negative gammas behind the layers of some kernels.

    Args:
        graph: float.
        kernels: their names; layers without batch-norm behind them stay as they are.
    """
    weights = dict(graph.weights)
    for node in graph.nodes:
        norm = only_consumer(graph, node) if node.kernel in kernels else None
        if norm is None or not isinstance(norm.operation, BatchNorm):
            continue
        assert node.kernel is not None
        gamma = norm.weight("gamma")
        sign = (1.0 - 2.0 * (weights[gamma] < 0)).astype(weights[gamma].dtype)
        weights[node.kernel] = weights[node.kernel] * along_channels(sign, weights[node.kernel])
        for name in (gamma, norm.weight("moving_mean"), node.weight("bias")):
            if name in weights:
                weights[name] = weights[name] * sign
    return replace(graph, weights=weights)
