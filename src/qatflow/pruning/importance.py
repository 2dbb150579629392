"""How much the units of a channel group matter."""

from collections.abc import Callable

import numpy as np

from qatflow.graph.channels import ChannelGroup
from qatflow.graph.graph import Graph

Criterion = Callable[[np.ndarray], np.ndarray]
"""Filters, float64 [filters, weights per filter], to the importance of each, float64 [filters], at least 0."""


def importance(graph: Graph, group: ChannelGroup, criterion: Callable[[str], Criterion]) -> np.ndarray:
    """Return how much each unit of a group matters, float64 [units].

    All tied layers count: the result is the sum of their criteria, each divided by its mean, so that a layer with large
    weights does not decide alone. (PaddleSlim lets the first layer decide for all.) A depthwise kernel does not count:
    it goes with the channels it reads.

    Args:
        graph: in float.
        group: a group of it.
        criterion: returns the criterion of a kernel, by the kernel's name.
    """
    total = np.zeros(group.size)
    for kernel, units in group.unit_of.items():
        filters = graph.weights[kernel].astype(np.float64)
        scores = criterion(kernel)(filters.reshape(-1, filters.shape[-1]).T)
        mean = scores.mean()
        np.add.at(total, units, scores / mean if mean > 0 else scores)
    return total


def l1_norm(filters: np.ndarray) -> np.ndarray:
    """Return Σ |w| of each filter, float64 [filters] (Li et al. 2017, arXiv:1608.08710): PaddleSlim's `l1_norm`."""
    return np.abs(filters).sum(axis=1)


def geometric_median(filters: np.ndarray) -> np.ndarray:
    """Return the sum of Euclidean distances from each filter to all filters of its layer, float64 [filters].

    The filter nearest to the geometric median has the smallest sum, and the others can stand in for it (He et al. 2019,
    arXiv:1811.00250, equation 6).
    """
    squares = (filters**2).sum(axis=1)
    # |a − b|² = a² + b² − 2ab, one matrix product; for equal filters rounding leaves about 1e-8 of their length
    distances = np.maximum(squares[:, None] + squares - 2 * filters @ filters.T, 0)
    return np.sqrt(distances).sum(axis=1)


CRITERIA: dict[str, Criterion] = {"l1_norm": l1_norm, "geometric_median": geometric_median}
"""The criteria by their names in the compress YAML."""
