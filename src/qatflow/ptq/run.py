"""pretrain/<weights>_ptq/: the float model after post-training quantisation, ready for the device."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from qatflow.base import provenance
from qatflow.base.sums import read_checked
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import calibration
from qatflow.inference.pictures import PreparedPictures
from qatflow.optimize.folder import operator_counts, quantised_tensors, write_folder
from qatflow.ptq.quantise import (
    CalibrationRanges,
    Histograms,
    begin_calibration,
    begin_counting,
    joined,
    narrowed,
    quantise_with,
    wider,
)
from qatflow.tflite.check import check_model
from qatflow.tflite.read import operators
from qatflow.tflite.rounding import rounding_differently, warning


def quantise_after_training(
    float_model: Path,
    data: Path,
    output: Path,
    keep_in_float: Sequence[str] = (),
    cores: int = 1,
    method: CalibrationMethod = "max",
) -> int:
    """Write the folder of the int8 model; return the model's size in bytes.

    Args:
        float_model: float .tflite.
        data: manifest.json of the data: calibration pictures, labels and preprocessing.
        output: folder to write; it appears complete or not at all.
        keep_in_float: layers whose name contains one of these texts stay in float.
        cores: number of processes that run the calibration pictures; it does not change the model.
        method: how the range of a tensor is found from the calibration pictures.

    Raises:
        UserError: the int8 model cannot be loaded and run.
    """
    manifest, before = read_manifest(data), read_checked(float_model)
    import ai_edge_quantizer  # noqa: F401  before the fork: the processes share it

    pictures = PreparedPictures.calibration(manifest, processes=cores)

    def begin() -> Callable[[np.ndarray, np.ndarray], CalibrationRanges]:
        ranges = begin_calibration(before, keep_in_float)
        return lambda inputs, labels: ranges(inputs)

    ranges = functools.reduce(wider, pictures.each(begin))
    if method != "max":

        def begin_again() -> Callable[[np.ndarray, np.ndarray], Histograms]:
            histograms = begin_counting(before, ranges)
            return lambda inputs, labels: histograms(inputs)

        ranges = narrowed(ranges, functools.reduce(joined, pictures.each(begin_again)), method)
    content = quantise_with(ranges, before, keep_in_float)
    check_model(content, picture=calibration(manifest, 1)[0])
    after = operators(content)
    different = rounding_differently(after)
    if different:
        print(warning(different))
    about = {
        "calibration_pictures": pictures.count,
        "calibration_method": method,
        "operators_before": operator_counts(operators(before)),
        "operators_after": operator_counts(after),
        "bytes_before": len(before),
        "bytes_after": len(content),
        "tensors": quantised_tensors(after),
        "rounding_differently": different,
        "provenance": provenance.record_of_floats(
            [float_model, data],
            {"recipe": "static_wi8_ai8", "keep_in_float": list(keep_in_float), "calibration_method": method},
        ),
    }
    write_folder(output, content, manifest, about)
    return len(content)
