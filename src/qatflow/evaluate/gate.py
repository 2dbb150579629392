"""The accuracy gate: may the int8 model go to the device?"""

from dataclasses import asdict
from pathlib import Path

from qatflow import provenance
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import tensors
from qatflow.errors import UserError
from qatflow.files import write_json
from qatflow.metrics import Drop, paired_drop
from qatflow.tflite.run import Model

FORMAT = 1


def gate(float_model: Path, int8_model: Path, data: Path, max_drop: float | None, output: Path) -> Drop:
    """Measure what int8 costs on the validation pictures, and write gate.json where that is allowed.

    Args:
        float_model: float .tflite.
        int8_model: int8 .tflite.
        data: manifest.json of the data; its validation split is used whole.
        max_drop: largest allowed drop of top-1, in percentage points; None: any.
        output: file to write.

    Raises:
        UserError: the drop is larger; the message has the figures, and all models stay where they are.
    """
    inputs, labels = tensors(read_manifest(data), "validation")
    found = paired_drop(Model(float_model).outputs(inputs), Model(int8_model).outputs(inputs), labels)
    if max_drop is not None and found.points > max_drop:
        raise UserError(
            f"the accuracy gate is closed: {int8_model} loses {text(found)}, more than accuracy.max_drop {max_drop:g}. "
            "The models are kept; train longer, try other quantisation settings, or raise accuracy.max_drop"
        )
    made = provenance.record([float_model, int8_model, data], {"max_drop": max_drop})
    write_json(output, {"format_version": FORMAT, "max_drop": max_drop, **asdict(found), "provenance": made})
    return found


def text(drop: Drop) -> str:
    """Return the drop in words."""
    return (
        f"{drop.points:.2f} points of top-1 against float (95 % interval {drop.low:.2f} to {drop.high:.2f}, "
        f"{100 * drop.float_top1:.2f} % to {100 * drop.int8_top1:.2f} % on {drop.pictures} validation pictures)"
    )
