"""The accuracy gate: may the int8 model go to the device?"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qatflow import provenance
from qatflow.config.model import AccuracySection
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import tensors
from qatflow.files import write_json
from qatflow.metrics import Accuracy, accuracy, paired_drop
from qatflow.tflite.run import Model

FORMAT = 3


@dataclass(frozen=True)
class Found:
    """What the gate found.

    Attributes:
        said: a line a comparison; a warning among them where the trained model is worse than the one quantised after
            training, by no more than chance or because that is allowed.
        reason: why the model may not go to the device, with what to do; None where it may.
    """

    said: list[str]
    reason: str | None


@dataclass(frozen=True)
class Published:
    """A figure that a model is held to: top-1 and how far below it the model may be, in percent and points."""

    top1: float
    tolerance: float


def gate(
    float_model: Path | None,
    int8_model: Path,
    ptq_model: Path | None,
    data: Path,
    section: AccuracySection,
    output: Path,
    published: Published | None = None,
) -> Found:
    """Measure what int8 costs on the validation pictures, and write to gate.json whether that is allowed.

    Args:
        float_model: float .tflite; None where there is none, since the model came quantised.
        int8_model: int8 .tflite that is to go to the device.
        ptq_model: the one quantised after training, which a trained one must not be worse than; None where that is
            the model itself.
        data: manifest.json of the data; its validation split is used whole.
        section: what is allowed.
        output: file to write.
        published: a figure that the model must reach; None: none.

    Returns:
        What was found. A closed gate is no error here: who needs it open asks its file (`qatflow.gates`).

    Raises:
        UserError: a model is no classifier of these data.
    """
    manifest = read_manifest(data)
    pictures, labels = tensors(manifest, "validation")

    def outputs(path: Path) -> np.ndarray:
        return Model(path).probabilities(pictures, manifest.classes)

    found = outputs(int8_model)
    said, reasons, drop = [], [], None
    if published is not None:
        told, reason = _published(accuracy(found, labels), published)
        said.append(told)
        reasons += [reason] if reason else []
    elif float_model is None:
        top1 = 100 * accuracy(found, labels).top1
        said.append(f"top-1 {top1:.2f} %, with no float model and no figure to compare with")
    if float_model is not None:
        drop = paired_drop(outputs(float_model), found, labels)
        said.append(drop.text())
    if drop is not None and section.max_drop is not None and drop.points > section.max_drop:
        reasons.append(
            f"{drop.text()}, more than accuracy.max_drop {section.max_drop:g}: train longer, try other quantisation "
            "settings, or raise accuracy.max_drop"
        )
    against_ptq = None
    if ptq_model is not None:
        against_ptq = paired_drop(outputs(ptq_model), found, labels)
        told = against_ptq.text("training for int8", "quantisation after training")
        said.append(told)
        if against_ptq.low > 0 and section.worse_than_ptq == "refuse":
            reasons.append(
                f"{told}: lower compress.learning_rate or train longer, ship {ptq_model} (method: ptq), or set "
                "accuracy.worse_than_ptq to allow"
            )
        elif against_ptq.points > 0:
            chance = "as accuracy.worse_than_ptq allows" if against_ptq.low > 0 else "which may be chance"
            said[-1] = f"warning: {told}, {chance}"
    models = [path for path in (float_model, int8_model, ptq_model) if path is not None]
    closed = f"the accuracy gate is closed: {int8_model}: {'; and '.join(reasons)}. The models are kept"
    reason = closed if reasons else None
    write_json(
        output,
        {
            "format_version": FORMAT,
            **section.model_dump(),
            "passed": reason is None,
            "reason": reason,
            "said": said,
            "against_float": drop and asdict(drop),
            "against_ptq": against_ptq and asdict(against_ptq),
            "provenance": provenance.record([*models, data], section.model_dump()),
        },
    )
    return Found(said, reason)


def _published(found: Accuracy, published: Published) -> tuple[str, str | None]:
    """Compare with a published figure; beside the tolerance, twice the standard error of the share is allowed.

    Returns:
        What was found, and why that is too little; None where it is not.
    """
    share = published.top1 / 100
    chance = 200 * float(np.sqrt(share * (1 - share) / found.pictures))
    text = f"top-1 {100 * found.top1:.2f} % on {found.pictures} validation pictures, published {published.top1:g} %"
    if 100 * found.top1 < published.top1 - published.tolerance - chance:
        return text, (
            f"{text}, more than quantized_model.top1_tolerance {published.tolerance:g} (and {chance:.1f} of chance) "
            "below it: look at data.preprocessing, the order of the labels, and drop_background"
        )
    return text, None
