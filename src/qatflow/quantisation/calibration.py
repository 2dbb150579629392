"""Where the range of a tensor ends, from its values over the calibration pictures.

Few values are far from zero. A range that leaves some of them out has a smaller step, which all others gain from. Each
method takes a histogram of the magnitudes and returns a threshold T: values beyond ±T become ±T. Counts are whole
numbers in bins that only the largest magnitude determines, so the order of the pictures, the size of the batches and
the number of processes change nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.quantisation.grids import Fit, grid

BINS = 2048
"""Bins of the magnitudes, as in TensorRT's calibration."""
PER_MYRIAD = 9999
"""Of 10,000 values: `percentile` keeps 99.99 % of them."""
CANDIDATES = 128
"""Thresholds that `mse` tries, at equal distances."""
STRIDE = 8
"""Bins from one threshold that `entropy` tries to the next."""
NEIGHBOURS = 8
"""Bins on either side that say how many values `entropy` expects in a bin."""
SPIKE = 2
"""Times that number: what is beyond does not count for `entropy`."""

AT_ONCE = 2**18
"""Values that are counted together: their bins take 8 bytes each."""

Range = tuple[float, float]
"""Least and greatest value."""


@dataclass(frozen=True)
class Histogram:
    """How often a tensor has which values.

    Attributes:
        largest: greatest magnitude, the upper end of the last bin.
        counts: int64 [2, BINS]: values below 0, and above 0, by magnitude in bins of equal width; a value on an edge
            counts in the bin above it, and the largest in the last one.
        zeros: number of values that are exactly 0; every grid has them.
    """

    largest: float
    counts: np.ndarray
    zeros: int = 0

    @staticmethod
    def empty(largest: float) -> "Histogram":
        """Return the histogram of no values, for magnitudes up to `largest`, a float32 value."""
        return Histogram(largest, np.zeros((2, BINS), np.int64))

    def plus(self, values: np.ndarray) -> "Histogram":
        """Return the histogram with these float32 values, of any shape."""
        flat, counts, zeros = values.reshape(-1), self.counts.reshape(-1).copy(), self.zeros
        for first in range(0, flat.size, AT_ONCE):
            part = flat[first : first + AT_ONCE]
            part = part[part != 0]
            zeros += min(AT_ONCE, flat.size - first) - part.size
            if part.size:
                bins = (np.abs(part).astype(np.float64) * (BINS / self.largest)).astype(np.int64)
                counts += np.bincount(np.minimum(bins, BINS - 1) + BINS * (part > 0), minlength=2 * BINS)
        return Histogram(self.largest, counts.reshape(2, BINS), zeros)

    def joined(self, other: "Histogram") -> "Histogram":
        """Return the histogram of the values of both, which have the same bins."""
        return Histogram(self.largest, self.counts + other.counts, self.zeros + other.zeros)

    @property
    def magnitudes(self) -> np.ndarray:
        """Counts of the values other than 0 by magnitude, int64 [BINS]."""
        both: np.ndarray = self.counts.sum(axis=0)
        return both


def calibrated_range(method: CalibrationMethod, histogram: Histogram, ends: Range, bits: int, fit: Fit) -> Range:
    """Return the part of a tensor's range that gets integers: from max(low, −T) to min(high, T).

    Args:
        method: how T is found.
        histogram: of the tensor's values over the calibration pictures.
        ends: least and greatest of these values, (low, high).
        bits: width of the integers.
        fit: how they fit the range.
    """
    if method == "max" or not histogram.counts.any():
        return ends
    end = THRESHOLDS[method](histogram, ends, bits, fit)
    return _clipped(ends, end)


def percentile(histogram: Histogram, ends: Range, bits: int, fit: Fit) -> float:
    """Return the upper edge of the first bin up to which at least 99.99 % of the magnitudes lie, zeros included.

    Wu et al. 2020, arXiv:2004.09602, §5.2, find 99.99 % the best percentile for most networks.
    """
    up_to = np.cumsum(histogram.magnitudes) + histogram.zeros
    place = int(np.argmax(up_to * 10_000 >= PER_MYRIAD * up_to[-1]))
    return histogram.largest * (place + 1) / BINS


def mse(histogram: Histogram, ends: Range, bits: int, fit: Fit) -> float:
    """Return the threshold with the least sum of squared differences between values and their roundings.

    T = i / 128 · max|x|, i = 1 … 128, and of equal ones the largest. All values of a bin count as its middle, and are
    rounded to the very grid that the range would get (Nagel et al. 2021, arXiv:2106.08295, §3.1: MSE, grid search).
    """
    middles = (np.arange(BINS) + 0.5) * (histogram.largest / BINS)
    values, counts = np.stack([-middles, middles]), histogram.counts
    half = 2 ** (bits - 1)

    def error(end: float) -> float:
        scale, zero_point = grid(*_clipped(ends, end), bits, fit)
        steps = np.clip(np.rint(values / scale) + zero_point, -half, half - 1)
        return float((counts * (values - (steps - zero_point) * scale) ** 2).sum())

    candidates = [histogram.largest * i / CANDIDATES for i in range(CANDIDATES, 0, -1)]
    errors = [error(end) for end in candidates]
    return candidates[int(np.argmin(errors))]


def entropy(histogram: Histogram, ends: Range, bits: int, fit: Fit) -> float:
    """Return the threshold that loses the least information: TensorRT's scheme (Migacz, "8-bit Inference with
    TensorRT", GTC 2017), with the zeros and other spikes left out.

    The scheme takes the distribution for a smooth one, and the information that it loses in a level for the error of
    rounding. A value that is there again and again, such as what each channel gives for a black background, fills one
    bin of its level: the level loses much information, though its values are rounded no worse than others. TensorRT
    leaves out the zeros for that; here no bin counts more than twice the median of the filled bins around it.

    For every eighth number of bins i from the number of levels on: P is the first i bins, with all that lies beyond
    added to the last. Q is the first i bins without that, merged into levels of (nearly) equal width; each level is
    spread evenly over those of its bins that are not empty. T is the upper edge of bin i with the least
    Σ P · log(P / Q), both divided by their sums, and of equal ones the largest; a last bin that is empty but for what
    lies beyond rules its i out. The levels are the integers of one sign: 2^(b−1), and 2^b with the fit from_zero.
    """
    counts = without_spikes(histogram.magnitudes.astype(np.float64))
    levels = min(2**bits if fit == "from_zero" else 2 ** (bits - 1), BINS)
    numbers = range(BINS, levels - 1, -STRIDE)
    losses = [_divergence(counts, number, levels) for number in numbers]
    return histogram.largest * numbers[int(np.argmin(losses))] / BINS


def without_spikes(counts: np.ndarray) -> np.ndarray:
    """Return counts of which none is above `SPIKE` times the median of the filled bins up to `NEIGHBOURS` away.

    Args:
        counts: float64 [bins].
    """
    padded = np.pad(np.where(counts > 0, counts, np.nan), NEIGHBOURS, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    filled = counts > 0  # a window around an empty bin may hold nothing
    limited = counts.copy()
    limited[filled] = np.minimum(counts[filled], SPIKE * np.nanmedian(around[filled], axis=1))
    return limited


def _divergence(counts: np.ndarray, number: int, levels: int) -> float:
    """Return Σ P · log(P / Q) of the first `number` bins; infinite where Q is 0 and P is not."""
    inner = counts[:number]
    filled = inner > 0
    level = np.arange(number) * levels // number
    spread = np.bincount(level, inner, levels) / np.maximum(np.bincount(level, filled, levels), 1)
    q = np.where(filled, spread[level], 0.0)
    p = inner.copy()
    p[-1] += counts[number:].sum()
    if not filled[-1] and p[-1]:
        return float(np.inf)
    p, q = p[filled] / p.sum(), q[filled] / q.sum()
    return float((p * np.log(p / q)).sum())


Threshold = Callable[[Histogram, Range, int, Fit], float]

THRESHOLDS: Mapping[CalibrationMethod, Threshold] = {"percentile": percentile, "mse": mse, "entropy": entropy}
"""The methods that look at a histogram, by the names of the compress YAML."""


def _clipped(ends: Range, end: float) -> Range:
    return max(ends[0], -end), min(ends[1], end)
