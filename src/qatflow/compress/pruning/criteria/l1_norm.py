"""Σ |w| of a filter (Li et al. 2017, arXiv:1608.08710): PaddleSlim's `l1_norm`."""

import numpy as np


def l1_norm(filters: np.ndarray) -> np.ndarray:
    """Return the sum of magnitudes of each filter, float64 [filters]."""
    return np.abs(filters).sum(axis=1)
