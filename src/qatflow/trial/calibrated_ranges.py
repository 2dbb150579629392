"""The ranges of a float graph's tensors over the calibration pictures, by any calibration method."""

import functools
from collections.abc import Callable, Mapping

import numpy as np

from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.graph.graph import Graph
from qatflow.quantisation.calibration import Histogram, Range, calibrated_range
from qatflow.quantisation.grids import Fit
from qatflow.trial.float_ranges import FloatTensors, float_ranges
from qatflow.trial.pictures import Pictures


def calibrated_ranges(
    graph: Graph, tensors: Mapping[str, Fit], bits: Mapping[str, int], method: CalibrationMethod, pictures: Pictures
) -> dict[str, Range]:
    """Return the range of each tensor that gets integers, by its node's name.

    Args:
        graph: float.
        tensors: how the integers fit the range of each tensor, by its node's name.
        bits: width of each tensor's integers.
        method: which part of the values over the pictures gets integers.
        pictures: calibration pictures.

    Raises:
        UserError: the run-time has no kernel for an operation, or a tensor holds values that are not finite numbers.
    """

    def begin() -> Callable[[np.ndarray, np.ndarray], dict[str, Range]]:
        return lambda inputs, labels: float_ranges(graph, tensors, inputs)

    ends = functools.reduce(_wider, pictures.each(begin))
    if method == "max":
        return ends

    def begin_counting() -> Callable[[np.ndarray, np.ndarray], dict[str, Histogram]]:
        model = FloatTensors(graph, tensors)
        return lambda inputs, labels: _counted(model, inputs, ends)

    counts = functools.reduce(_joined, pictures.each(begin_counting))
    return {name: calibrated_range(method, counts[name], ends[name], bits[name], fit) for name, fit in tensors.items()}


def _counted(model: FloatTensors, inputs: np.ndarray, ends: Mapping[str, Range]) -> dict[str, Histogram]:
    found = {name: Histogram.empty(max(-low, high)) for name, (low, high) in ends.items()}
    for picture in inputs:
        for name, values in model.values(picture):
            found[name] = found[name].plus(values)
    return found


def _wider(first: Mapping[str, Range], second: Mapping[str, Range]) -> dict[str, Range]:
    return {name: (min(low, second[name][0]), max(high, second[name][1])) for name, (low, high) in first.items()}


def _joined(first: Mapping[str, Histogram], second: Mapping[str, Histogram]) -> dict[str, Histogram]:
    return {name: histogram.joined(second[name]) for name, histogram in first.items()}
