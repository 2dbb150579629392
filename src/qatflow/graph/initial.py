"""Weights that training begins with, drawn as Keras draws them."""

from math import prod

import numpy as np


def glorot_uniform(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return a kernel drawn uniformly from ±√(6 / (fan in + fan out)) (Glorot and Bengio 2010), float32 of that shape.

    Fans are those of Keras for every kind of kernel: the last two axes, times the elements of the window before them.

    Args:
        shape: of the kernel.
        random: where the values come from.
    """
    window = prod(shape[:-2])
    limit = np.sqrt(6 / (window * (shape[-2] + shape[-1])))
    return random.uniform(-limit, limit, shape).astype(np.float32)
