"""How much a filter matters among those of its layer, by the names of the compress YAML."""

from collections.abc import Callable

import numpy as np

from qatflow.compress.pruning.criteria.geometric_median import geometric_median
from qatflow.compress.pruning.criteria.l1_norm import l1_norm

Criterion = Callable[[np.ndarray], np.ndarray]
"""Filters, float64 [filters, weights of one], to how much each matters, float64 [filters], at least 0."""

CRITERIA: dict[str, Criterion] = {"l1_norm": l1_norm, "geometric_median": geometric_median}

__all__ = ["CRITERIA", "Criterion"]
