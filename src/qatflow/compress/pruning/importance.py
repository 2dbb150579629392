"""How much the units of a channel group matter."""

from collections.abc import Callable

import numpy as np

from qatflow.compress.pruning.criteria import Criterion
from qatflow.graph.channels import ChannelGroup
from qatflow.graph.graph import Graph


def importance(graph: Graph, group: ChannelGroup, criterion: Callable[[str], Criterion]) -> np.ndarray:
    """Return how much each unit of a group matters, float64 [units].

    Of tied layers each has a say: the sum of their criteria, each over its mean, so that a layer of large weights does
    not decide alone. PaddleSlim lets the first of them decide for all. A depthwise kernel has no say: it goes with the
    channels it reads.

    Args:
        graph: in float.
        group: a group of it.
        criterion: that of a kernel, by its name.
    """
    total = np.zeros(group.size)
    for kernel, units in group.unit_of.items():
        filters = graph.weights[kernel].astype(np.float64)
        scores = criterion(kernel)(filters.reshape(-1, filters.shape[-1]).T)
        mean = scores.mean()
        np.add.at(total, units, scores / mean if mean > 0 else scores)
    return total
