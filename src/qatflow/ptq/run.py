"""pretrain/<weights>_ptq/: the float model after post-training quantisation, ready for the device."""

from collections.abc import Sequence
from pathlib import Path

from qatflow.base import provenance
from qatflow.base.sums import read_checked
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import calibration
from qatflow.optimize.folder import operator_counts, quantised_tensors, write_folder
from qatflow.ptq.quantise import quantise
from qatflow.tflite.check import check_model
from qatflow.tflite.read import operators


def quantise_after_training(float_model: Path, data: Path, output: Path, keep_in_float: Sequence[str] = ()) -> int:
    """Write the folder of the int8 model; return the model's size in bytes.

    Args:
        float_model: float .tflite.
        data: manifest.json of the data: calibration pictures, labels and preprocessing.
        output: folder to write; it appears complete or not at all.
        keep_in_float: layers whose name contains one of these texts stay in float.

    Raises:
        UserError: the int8 model cannot be loaded and run.
    """
    manifest, before = read_manifest(data), read_checked(float_model)
    pictures = calibration(manifest)
    content = quantise(before, pictures, keep_in_float)
    check_model(content, picture=pictures[0])
    after = operators(content)
    about = {
        "calibration_pictures": len(pictures),
        "operators_before": operator_counts(operators(before)),
        "operators_after": operator_counts(after),
        "bytes_before": len(before),
        "bytes_after": len(content),
        "tensors": quantised_tensors(after),
        "provenance": provenance.record(
            [float_model, data], {"recipe": "static_wi8_ai8", "keep_in_float": list(keep_in_float)}
        ),
    }
    write_folder(output, content, manifest, about)
    return len(content)
