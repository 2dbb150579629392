"""The range of a tensor by `calibration_method`: calibration looks at the values twice, and counts the second time."""

import numpy as np

from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.quantisation.calibration import Histogram, Range, calibrated_range
from qatflow.quantisation.grids import Fit


class CountedRange:
    """Finds the part of a tensor's range that is worth its integers."""

    def __init__(self, method: CalibrationMethod, bits: int, fit: Fit):
        """Set up.

        Args:
            method: other than `max`.
            bits: width of the integers.
            fit: how they fit the range.
        """
        self.method: CalibrationMethod = method
        self.bits = bits
        self.fit: Fit = fit
        self._ends: Range = (np.inf, -np.inf)
        self._histogram: Histogram | None = None

    def look(self, values: np.ndarray) -> None:
        """Keep the ends of some values, float32, or, after `begin_counting`, count them."""
        if self._histogram is not None:
            self._histogram = self._histogram.plus(values)
        else:
            self._ends = min(self._ends[0], float(values.min())), max(self._ends[1], float(values.max()))

    def begin_counting(self) -> None:
        """Count the values from now on: all have been looked at once."""
        self._histogram = Histogram.empty(max(-self._ends[0], self._ends[1]))

    def result(self) -> Range | None:
        """Return the range, around zero unless the fit is `both_ends`; None where values are no finite numbers."""
        histogram, self._histogram = self._histogram, None
        assert histogram is not None
        if not np.isfinite(histogram.largest):
            return None
        low, high = calibrated_range(self.method, histogram, self._ends, self.bits, self.fit)
        end = max(-low, high)
        return (low, high) if self.fit == "both_ends" else (-end, end)
