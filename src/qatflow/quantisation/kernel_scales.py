"""The scale of a kernel's integers from its weights: of the largest, or of what gives the least squared error."""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from qatflow.quantisation.grids import SMALLEST

WeightRange = Literal["max", "mse"]
"""Which part of a kernel's range gets integers: all of it, or what gives the least squared error."""
CANDIDATES = 128
"""Thresholds that `mse` tries, at equal distances, as for activations."""


def kernel_scale(kernel: np.ndarray, channels: int | None, bits: int, method: WeightRange = "max") -> np.ndarray:
    """Return the scale T / (2^(bits−1) − 1) of a kernel, float32 [1], or [channels].

    Args:
        kernel: float32, its output channels in the last axes.
        channels: number of its output channels; None: one scale for all.
        bits: width of the integers.
        method: how the threshold T is found.
    """
    values = kernel.reshape(-1, channels or 1)
    end = 2 ** (bits - 1) - 1
    threshold = THRESHOLDS[method](values, end)
    scale: np.ndarray = (np.maximum(threshold, SMALLEST) / end).astype(np.float32)
    return scale


def largest(values: np.ndarray, end: int) -> np.ndarray:
    """Return max|w| of each column."""
    magnitudes: np.ndarray = np.abs(values).max(axis=0)
    return magnitudes


def mse(values: np.ndarray, end: int) -> np.ndarray:
    """Return the threshold of each column with the least Σ (w − ŵ)², and of equal ones the largest.

    T = i / 128 · max|w|, i = 1 … 128 (Nagel et al. 2021, arXiv:2106.08295, §3.1: MSE, grid search).

    Args:
        values: float32 [weights, columns].
        end: the largest integer.
    """
    most = np.maximum(largest(values, end), SMALLEST)
    best, least = most, np.full(most.shape, np.inf)
    for number in range(CANDIDATES, 0, -1):
        threshold = most * np.float32(number / CANDIDATES)
        scale = threshold / end
        steps = np.clip(np.rint(values / scale), -end, end)
        error = ((steps * scale - values) ** 2).sum(axis=0, dtype=np.float64)
        best, least = np.where(error < least, threshold, best), np.minimum(error, least)
    return best


THRESHOLDS: Mapping[WeightRange, Callable[[np.ndarray, int], np.ndarray]] = {"max": largest, "mse": mse}
