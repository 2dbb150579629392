"""Which width each layer gets: of all assignments within a number of bytes the one with the least cost.

The cost of an assignment is taken as the sum of what each layer costs by itself, as in HAWQ-V3 (Yao et al. 2021,
arXiv:2011.10680), which solves this integer program by a general solver. Here it is solved exactly by dynamic
programming: layer after layer, an assignment that another one beats in bytes and in cost is dropped, since it is no
part of a better whole. What is left after the last layer are the best assignments for all numbers of bytes. (A solver
with tolerances, as HiGHS, takes the costs of good layers, 10^-7 of those of bad ones, for nothing.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WeightedLayer:
    """A layer whose weights can have several widths.

    Attributes:
        name: of the layer.
        kernel: name of its kernel.
        values: number of the kernel's values.
        costs: of each width, in their order: by how much the divergence of the outputs rises over that of the widest.
    """

    name: str
    kernel: str
    values: int
    costs: tuple[float, ...]


Assignment = tuple[int, ...]
"""Bits of each layer's weights."""


def packed_bytes(values: int, bits: int) -> int:
    """Return the bytes of so many integers, packed."""
    return -(-values * bits // 8)


def total_bytes(layers: Sequence[WeightedLayer], assignment: Assignment) -> int:
    """Return the bytes of all kernels."""
    return sum(packed_bytes(layer.values, bits) for layer, bits in zip(layers, assignment, strict=True))


def predicted(layers: Sequence[WeightedLayer], widths: Sequence[int], assignment: Assignment) -> float:
    """Return the sum of the layers' costs."""
    return sum(layer.costs[widths.index(bits)] for layer, bits in zip(layers, assignment, strict=True))


def front(layers: Sequence[WeightedLayer], widths: Sequence[int]) -> "Front":
    """Return all assignments that no other one beats in bytes and predicted cost.

    Args:
        layers: that get a width.
        widths: that each may get, in the order of the layers' costs.
    """
    sizes, costs, origins = np.zeros(1, np.int64), np.zeros(1), []
    for layer in layers:
        own = np.asarray([packed_bytes(layer.values, bits) for bits in widths])
        sizes = (sizes[:, None] + own).ravel()
        costs = (costs[:, None] + np.asarray(layer.costs)).ravel()
        order = np.lexsort((costs, sizes))
        least = np.minimum.accumulate(costs[order])
        kept = order[np.concatenate([[True], costs[order][1:] < least[:-1]])]
        sizes, costs = sizes[kept], costs[kept]
        origins.append(kept)
    return Front(tuple(widths), sizes, costs, tuple(origins))


@dataclass(frozen=True, eq=False)
class Front:
    """The assignments that no other one beats, the smallest first.

    Attributes:
        widths: that each layer may have.
        sizes: bytes of each assignment, ascending, int64.
        costs: predicted cost of each, descending, float64.
        origins: for each layer, where each of its assignments came from: (that of the layers before) x widths + width.
    """

    widths: tuple[int, ...]
    sizes: np.ndarray
    costs: np.ndarray
    origins: tuple[np.ndarray, ...]

    def within(self, max_bytes: int) -> Assignment | None:
        """Return the assignment with the least predicted cost within a number of bytes; None if there is none."""
        place = int(np.searchsorted(self.sizes, max_bytes, side="right")) - 1
        if place < 0:
            return None
        bits = []
        for origin in reversed(self.origins):
            place, width = divmod(int(origin[place]), len(self.widths))
            bits.append(self.widths[width])
        return tuple(reversed(bits))
