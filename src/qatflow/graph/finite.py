"""Finds weights that are NaN or infinite."""

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph

SHOWN = 5


def check_finite(graph: Graph) -> None:
    """Raise if weights are NaN or infinite.

    Raises:
        UserError: lists all of them, with the number of such values.
    """
    bad = {name: int(np.sum(~np.isfinite(values))) for name, values in graph.weights.items()}
    listed = [f"{name} ({count} of {graph.weights[name].size} values)" for name, count in bad.items() if count]
    if listed:
        raise UserError(
            f"the weights have values that are NaN or infinite: {first_of(listed)}. Take the weights from before their "
            "training failed, or replace the layers"
        )


def first_of(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
