"""Integers that are stored times a power of two: what they are without it."""

import numpy as np


def shared_zeros(integers: np.ndarray) -> int:
    """Return how many of the lowest bits are 0 in each of some integers; 0 if all integers are 0."""
    every = int(np.bitwise_or.reduce(integers, axis=None))
    return (every & -every).bit_length() - 1 if every else 0


def without_shared_zeros(integers: np.ndarray) -> tuple[np.ndarray, int]:
    """Return integers without the bits that are 0 in each of them, and the number of these bits."""
    shift = shared_zeros(integers)
    return integers >> shift, shift
