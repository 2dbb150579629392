"""Batch-norm's negative factors moved into the kernels before it: the device's kernels then have no other values.

Folding multiplies the sign of gamma into a channel's integers, so that a clustered kernel would have values of either
sign for each cluster. The function is the same to the bit: only signs change.
"""

from collections.abc import Collection
from dataclasses import replace

from qatflow.graph.edit import only_consumer
from qatflow.graph.graph import Graph, along_channels
from qatflow.graph.operations import BatchNorm


def with_positive_gammas(graph: Graph, kernels: Collection[str]) -> Graph:
    """Return the float graph, the same function, without negative gammas behind the layers of some kernels.

    Args:
        graph: float.
        kernels: their names; layers without batch-norm behind stay as they are.
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
