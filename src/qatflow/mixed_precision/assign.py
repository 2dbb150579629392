"""Which precision each layer gets: of all assignments within a budget the one with the least cost.

The cost of an assignment is taken as the sum of what each layer costs by itself, as in HAWQ-V3 (Yao et al. 2021,
arXiv:2011.10680), which solves this integer program by a general solver. Here it is solved exactly by dynamic
programming: layer after layer, an assignment that another one beats in size and in cost is dropped, since it is no
part of a better whole. What is left after the last layer are the best assignments for all budgets. (A solver with
tolerances, as HiGHS, takes the costs of good layers, 10^-7 of those of bad ones, for nothing.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qatflow.mixed_precision.precision import Precision


@dataclass(frozen=True)
class WeightedLayer:
    """A layer that can have several precisions.

    Attributes:
        name: of the layer.
        kernel: name of its kernel.
        values: number of the kernel's values.
        precisions: that it may have; the first is what the others are measured against.
        sizes: of each precision what it takes of the budget: bytes, or latency beyond that of the first precision.
        costs: of each precision: by how much the divergence of the outputs rises over that of the first.
    """

    name: str
    kernel: str
    values: int
    precisions: tuple[Precision, ...]
    sizes: tuple[float, ...]
    costs: tuple[float, ...]


Assignment = tuple[int, ...]
"""Of each layer, which of its precisions it has."""


def total_bytes(layers: Sequence[WeightedLayer], assignment: Assignment) -> int:
    """Return the bytes of all kernels, packed."""
    return sum(layer.precisions[one].bytes(layer.values) for layer, one in zip(layers, assignment, strict=True))


def predicted(layers: Sequence[WeightedLayer], assignment: Assignment) -> float:
    """Return the sum of the layers' costs."""
    return sum(layer.costs[one] for layer, one in zip(layers, assignment, strict=True))


def front(layers: Sequence[WeightedLayer]) -> "Front":
    """Return all assignments that no other one beats in size and predicted cost."""
    sizes, costs, origins = np.zeros(1), np.zeros(1), []
    for layer in layers:
        sizes = (sizes[:, None] + np.asarray(layer.sizes)).ravel()
        costs = (costs[:, None] + np.asarray(layer.costs)).ravel()
        order = np.lexsort((costs, sizes))
        least = np.minimum.accumulate(costs[order])
        kept = order[np.concatenate([[True], costs[order][1:] < least[:-1]])]
        sizes, costs = sizes[kept], costs[kept]
        origins.append(kept)
    return Front(tuple(len(layer.sizes) for layer in layers), sizes, costs, tuple(origins))


@dataclass(frozen=True, eq=False)
class Front:
    """The assignments that no other one beats, the smallest first.

    Attributes:
        numbers: of precisions that each layer may have.
        sizes: what each assignment takes of the budget, ascending, float64; whole numbers up to 2^53 are exact.
        costs: predicted cost of each, descending, float64.
        origins: for each layer, where each of its assignments came from: (that of the layers before) x the layer's
            number of precisions + which of these.
    """

    numbers: tuple[int, ...]
    sizes: np.ndarray
    costs: np.ndarray
    origins: tuple[np.ndarray, ...]

    def within(self, limit: float) -> Assignment | None:
        """Return the assignment with the least predicted cost within a budget; None if there is none."""
        place = int(np.searchsorted(self.sizes, limit, side="right")) - 1
        if place < 0:
            return None
        taken = []
        for origin, number in zip(reversed(self.origins), reversed(self.numbers), strict=True):
            place, one = divmod(int(origin[place]), number)
            taken.append(one)
        return tuple(reversed(taken))
