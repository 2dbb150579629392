"""Is quantisation after training good enough, or is it worth training for int8?"""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from qatflow import provenance
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import tensors
from qatflow.files import write_json
from qatflow.metrics import Drop, paired_drop
from qatflow.tflite.run import Model

FORMAT = 1
Method = Literal["ptq", "qat"]


def choose_method(
    float_model: Path, ptq_model: Path, data: Path, max_drop: float | None, output: Path
) -> tuple[Method, Drop]:
    """Measure what quantisation after training costs on the validation pictures, and write method.json.

    Args:
        float_model: float .tflite.
        ptq_model: the int8 .tflite made of it.
        data: manifest.json of the data; its validation split is used whole.
        max_drop: loss of top-1, in percentage points, up to which training is not worth it; None: any.
        output: file to write.
    """
    manifest = read_manifest(data)
    pictures, labels = tensors(manifest, "validation")
    reference, outputs = (Model(path).probabilities(pictures, manifest.classes) for path in (float_model, ptq_model))
    drop = paired_drop(reference, outputs, labels)
    method: Method = "ptq" if max_drop is None or drop.points <= max_drop else "qat"
    made = provenance.record([float_model, ptq_model, data], {"max_drop": max_drop})
    write_json(
        output,
        {"format_version": FORMAT, "method": method, "max_drop": max_drop, **asdict(drop), "provenance": made},
    )
    return method, drop
