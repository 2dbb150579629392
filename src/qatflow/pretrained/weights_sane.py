"""Weights that no picture can get through, whatever their origin."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.kinds import QUANTISED_KERNEL

LARGE = 1e6
SHOWN = 5
KERNELS = (*dict.fromkeys(QUANTISED_KERNEL.values()),)


def check_weights(graph: Graph) -> tuple[str, ...]:
    """Return a line for each kind of weights that look wrong, with their layers.

    Raises:
        UserError: weights are NaN or infinite; all are listed, with how many of their values.
    """
    bad = {name: int(np.sum(~np.isfinite(values))) for name, values in graph.weights.items()}
    listed = [f"{name} ({count} of {graph.weights[name].size} values)" for name, count in bad.items() if count]
    if listed:
        raise UserError(
            f"the weights have values that are NaN or infinite: {_listed(listed)}. Take the weights from before their "
            "training failed, or make the layers anew"
        )
    return tuple(_odd(graph.weights))


def _odd(weights: Mapping[str, np.ndarray]) -> Iterator[str]:
    kinds: dict[str, Callable[[str, np.ndarray], bool]] = {
        "kernels of zeros alone, which make the same of every picture": lambda role, values: (
            role in KERNELS and not values.any()
        ),
        f"weights beyond ±{LARGE:g}": lambda _, values: bool(np.abs(values).max(initial=0) > LARGE),
        "a variance of 0 or less in batch-norm": lambda role, values: (
            role == "moving_variance" and bool(values.min(initial=1) <= 0)
        ),
    }
    for what, holds in kinds.items():
        found = [name for name, values in weights.items() if holds(name.rsplit("/", 1)[-1], values)]
        if found:
            yield f"warning: {what}: {_listed(found)}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
