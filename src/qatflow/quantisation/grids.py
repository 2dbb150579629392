"""How an activation's integers fit its range, and the formulas of scale and zero point, without TensorFlow.

`compress/quantizers/fake_quant.py` has the formulas for training.
"""

from typing import Literal

import numpy as np

Fit = Literal["around_zero", "from_zero", "both_ends"]
"""Which integers stand for a range of b bits.

around_zero: zero point 0 and scale max|x| / (2^(b−1) − 1), PaddleSlim's grid. from_zero: zero point −2^(b−1) and scale
max|x| / (2^b − 1), for what cannot be negative: all 2^b integers from 0 to max|x|. both_ends: the range is widened to
hold 0, scale is (high − low) / (2^b − 1), and the zero point is the integer nearest to where 0 falls, so that 0 is
exact (Jacob et al. 2018, arXiv:1712.05877, §3).
"""

WIDEST_FROM_ZERO = 8
"""Bits: TensorFlow Lite's kernels for int16 activations take zero point 0 alone."""
SMALLEST = 1e-8
"""Lower bound of the range that a scale is computed from: a tensor of zeros needs a grid, too."""


def grid(low: float, high: float, bits: int, fit: Fit) -> tuple[float, int]:
    """Return scale, a float32 value, and zero point of the integers of a range; see `Fit`.

    Args:
        low: least value.
        high: greatest value.
        bits: width of the integers.
        fit: how they fit the range.
    """
    half = 2 ** (bits - 1)
    if fit == "both_ends":
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max(high - low, SMALLEST) / (2 * half - 1)))
        return scale, round(-low / scale) - half
    steps, zero_point = (2 * half - 1, -half) if fit == "from_zero" else (half - 1, 0)
    return float(np.float32(max(-low, high, SMALLEST) / steps)), zero_point
