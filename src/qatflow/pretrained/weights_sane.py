"""Finds weights that cannot be right, wherever they come from."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from qatflow.graph.finite import check_finite, first_of
from qatflow.graph.graph import Graph
from qatflow.graph.kinds import QUANTISED_KERNEL

LARGE = 1e6
KERNELS = (*dict.fromkeys(QUANTISED_KERNEL.values()),)


def check_weights(graph: Graph) -> tuple[str, ...]:
    """Return a warning for each way in which weights look wrong, with their names.

    Raises:
        UserError: weights are NaN or infinite; all are listed, with the number of such values.
    """
    check_finite(graph)
    return tuple(_odd(graph.weights))


def _odd(weights: Mapping[str, np.ndarray]) -> Iterator[str]:
    kinds: dict[str, Callable[[str, np.ndarray], bool]] = {
        "kernels that are all zero, which give the same result for every picture": lambda role, values: (
            role in KERNELS and not values.any()
        ),
        f"weights beyond ±{LARGE:g}": lambda _, values: bool(np.abs(values).max(initial=0) > LARGE),
        "a variance of 0 or less in batch-norm": lambda role, values: (
            role == "moving_variance" and bool(values.min(initial=1) <= 0)
        ),
    }
    for kind, holds in kinds.items():
        names = [name for name, values in weights.items() if holds(name.rsplit("/", 1)[-1], values)]
        if names:
            yield f"warning: {kind}: {first_of(names)}"
