"""Thresholds of ranges against their definitions in NumPy, straight from the values or the counts."""

import math

import numpy as np
import pytest

from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.quantisation import calibration
from qatflow.quantisation.calibration import BINS, Histogram, calibrated_range
from qatflow.quantisation.grids import Fit, grid
from qatflow.quantisation.placement import QuantSettings, fits

VALUES: dict[Fit, np.ndarray] = {
    "from_zero": np.maximum(np.random.default_rng(0).standard_t(3, 40_000), 0).astype(np.float32),
    "around_zero": np.random.default_rng(1).standard_t(3, 40_000).astype(np.float32),
    "both_ends": (np.random.default_rng(2).gamma(0.7, 2.0, 40_000) - 0.3).astype(np.float32),
}
"""Heavy tails, as activations have: a ReLU's, those of a layer without one, and a skew one."""


def counted(values: np.ndarray) -> Histogram:
    return Histogram.empty(float(np.abs(values).max())).plus(values)


def range_of(method: CalibrationMethod, fit: Fit, bits: int = 8) -> tuple[float, float]:
    values = VALUES[fit]
    return calibrated_range(method, counted(values), (float(values.min()), float(values.max())), bits, fit)


def rounded(values: np.ndarray, low: float, high: float, bits: int, fit: Fit) -> np.ndarray:
    """The values on the grid of a range, by the definitions."""
    if fit == "around_zero":
        end = 2 ** (bits - 1)
        step = max(-low, high) / (end - 1)
        return np.clip(np.rint(values / step), -end, end - 1) * step
    low, high = min(low, 0), max(high, 0)
    step = (high - low) / (2**bits - 1)
    first = np.rint(low / step)
    return np.clip(np.rint(values / step), first, first + 2**bits - 1) * step


@pytest.mark.parametrize("fit", VALUES)
@pytest.mark.parametrize("bits", [4, 8])
def test_grids_are_those_of_the_formulas(fit: Fit, bits: int):
    values = VALUES[fit]
    low, high = float(values.min()), float(values.max())
    scale, zero_point = grid(low, high, bits, fit)
    steps = np.clip(np.rint(values.astype(np.float64) / scale) + zero_point, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    np.testing.assert_allclose((steps - zero_point) * scale, rounded(values, low, high, bits, fit), atol=1e-5 * high)
    assert zero_point == {"around_zero": 0, "from_zero": -(2 ** (bits - 1))}.get(fit, zero_point)


def test_which_grid_a_tensor_has():
    def of(kind: str, full: bool = True, bits: int = 8) -> list[str]:
        settings = QuantSettings(8, bits, "abs_max", kind, full_range=full)
        return [fits(settings, {"relu": bits, "conv": bits}, {"relu"})[name] for name in ("relu", "conv")]

    for kind in ("moving_average_abs_max", "range_abs_max", "abs_max"):
        assert of(kind) == ["from_zero", "around_zero"]
        assert of(kind, full=False) == of(kind, bits=9) == ["around_zero", "around_zero"]
    assert of("moving_average_min_max") == of("moving_average_min_max", full=False) == ["both_ends", "both_ends"]


@pytest.mark.parametrize("fit", VALUES)
def test_percentile_keeps_the_share_that_it_says(fit: Fit):
    magnitudes = np.abs(VALUES[fit].astype(np.float64))
    edges = magnitudes.max() * np.arange(1, BINS + 1) / BINS
    expected = next(edge for edge in edges if (magnitudes <= edge).sum() >= math.ceil(0.9999 * magnitudes.size))
    low, high = range_of("percentile", fit)
    assert (low, high) == (max(VALUES[fit].min(), -expected), min(VALUES[fit].max(), expected))
    assert max(-low, high) < magnitudes.max()


@pytest.mark.parametrize("fit", VALUES)
@pytest.mark.parametrize("bits", [4, 8])
def test_mse_is_the_least_error_of_the_values_themselves(fit: Fit, bits: int):
    values = VALUES[fit].astype(np.float64)
    largest, errors = np.abs(values).max(), {}
    for i in range(1, 129):
        low, high = max(values.min(), -largest * i / 128), min(values.max(), largest * i / 128)
        errors[low, high] = ((values - rounded(values, low, high, bits, fit)) ** 2).sum()
    # values count as the middle of their bin
    assert errors[range_of("mse", fit, bits)] <= 1.002 * min(errors.values()) < errors[values.min(), values.max()]


def divergence(counts: np.ndarray, number: int, levels: int) -> float:
    """The loss of the first bins, as TensorRT's slides write it down, bin by bin."""
    reference = [float(count) for count in counts[:number]]
    reference[-1] += float(counts[number:].sum())
    candidate = [0.0] * number
    for level in range(levels):
        bins = [k for k in range(number) if k * levels // number == level]
        filled = [k for k in bins if counts[k]]
        for k in filled:
            candidate[k] = float(counts[bins].sum()) / len(filled)
    total, kept, loss = sum(reference), sum(candidate), 0.0
    for p, q in zip(reference, candidate, strict=True):
        if p and not q:
            return math.inf
        if p:
            loss += p / total * math.log((p / total) / (q / kept))
    return loss


def typical(counts: np.ndarray, place: int) -> float:
    """The median of the filled bins around a place."""
    around = counts[max(place - 8, 0) : place + 9]
    return float(np.median(around[around > 0])) if around.any() else 0.0


@pytest.mark.parametrize(("fit", "bits", "levels"), [("around_zero", 4, 8), ("from_zero", 4, 16)])
def test_entropy_is_tensorrts_scheme(fit: Fit, bits: int, levels: int, monkeypatch):
    monkeypatch.setattr(calibration, "BINS", 128)
    values = VALUES[fit][:5000]
    counts, edges = np.histogram(np.abs(values[values != 0]), bins=128, range=(0, float(np.abs(values).max())))
    counts = np.array([min(count, 2 * typical(counts, place)) for place, count in enumerate(counts)])
    losses = {number: divergence(counts, number, levels) for number in range(128, levels - 1, -8)}
    expected = edges[min(losses, key=losses.__getitem__)]
    ends = (float(values.min()), float(values.max()))
    low, high = calibrated_range("entropy", counted(values), ends, bits, fit)
    assert high == pytest.approx(min(expected, ends[1]), rel=1e-12) and high < ends[1]
    assert low == pytest.approx(max(-expected, ends[0]), rel=1e-12)


def test_values_of_a_uniform_background_do_not_narrow_the_range_of_entropy():
    rest = np.abs(VALUES["from_zero"]).astype(np.float32)
    # what some channels give for black: a few values below a tenth of the range, as often as all others together
    background = np.repeat(np.float32([0.021, 0.034, 0.058, 0.097]) * rest.max(), rest.size // 4)
    found = []
    for values in (rest, np.concatenate([rest, background])):
        _, high = calibrated_range("entropy", counted(values), (0.0, float(values.max())), 8, "from_zero")
        found.append(high)
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_the_histogram_depends_on_the_values_alone(monkeypatch):
    monkeypatch.setattr(calibration, "AT_ONCE", 777)
    values = VALUES["both_ends"]
    whole, largest = counted(values), float(np.abs(values).max())
    parts = [Histogram.empty(largest).plus(part) for part in np.split(values.reshape(-1, 50), [1, 7, 300])]
    joined = parts[3].joined(parts[0]).joined(parts[2]).joined(parts[1])
    np.testing.assert_array_equal(joined.counts, whole.counts)
    for row, part in enumerate((-values[values < 0], values[values > 0])):
        expected, _ = np.histogram(part.astype(np.float64), bins=BINS, range=(0, largest))
        np.testing.assert_array_equal(whole.counts[row], expected)
    assert whole.counts.sum() + whole.zeros == values.size


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "entropy"])
def test_a_tensor_of_zeros_and_tiny_values_keep_their_range(method: CalibrationMethod):
    zeros = np.zeros(100, np.float32)
    assert calibrated_range(method, counted(zeros), (0.0, 0.0), 8, "from_zero") == (0.0, 0.0)
    tiny = np.full(100, 1e-44, np.float32)
    low, high = calibrated_range(method, counted(tiny), (float(tiny[0]), float(tiny[0])), 8, "from_zero")
    assert 0 <= low <= high == pytest.approx(float(tiny[0]))
