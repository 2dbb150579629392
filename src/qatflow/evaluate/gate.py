"""The accuracy gate: may the int8 model go to the device?"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from qatflow import provenance
from qatflow.config.model import AccuracySection
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import tensors
from qatflow.errors import UserError
from qatflow.files import write_json
from qatflow.metrics import Accuracy, accuracy, paired_drop
from qatflow.tflite.run import Model

FORMAT = 2


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
) -> list[str]:
    """Measure what int8 costs on the validation pictures, and write gate.json where that is allowed.

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
        What was found, a line a comparison; a warning among them where the trained model is worse than the one
        quantised after training, by no more than chance or because that is allowed.

    Raises:
        UserError: the loss is larger than allowed; the message has the figures, and all models stay where they are.
    """
    manifest = read_manifest(data)
    pictures, labels = tensors(manifest, "validation")

    def outputs(path: Path) -> np.ndarray:
        return Model(path).probabilities(pictures, manifest.classes)

    found = outputs(int8_model)
    said, drop = [], None
    if published is not None:
        said.append(_published(accuracy(found, labels), published, int8_model))
    elif float_model is None:
        top1 = 100 * accuracy(found, labels).top1
        said.append(f"top-1 {top1:.2f} %, with no float model and no figure to compare with")
    if float_model is not None:
        drop = paired_drop(outputs(float_model), found, labels)
        said.append(drop.text())
    if drop is not None and section.max_drop is not None and drop.points > section.max_drop:
        raise UserError(
            f"the accuracy gate is closed: {int8_model}: {drop.text()}, more than accuracy.max_drop "
            f"{section.max_drop:g}. The models are kept; train longer, try other quantisation settings, or raise "
            "accuracy.max_drop"
        )
    against_ptq = None
    if ptq_model is not None:
        against_ptq = paired_drop(outputs(ptq_model), found, labels)
        told = against_ptq.text("training for int8", "quantisation after training")
        said.append(told)
        if against_ptq.low > 0 and section.worse_than_ptq == "refuse":
            raise UserError(
                f"the accuracy gate is closed: {int8_model}: {told}. The models are kept; lower compress.learning_rate "
                f"or train longer, ship {ptq_model} (method: ptq), or set accuracy.worse_than_ptq to allow"
            )
        if against_ptq.points > 0:
            chance = "as accuracy.worse_than_ptq allows" if against_ptq.low > 0 else "which may be chance"
            said[-1] = f"warning: {told}, {chance}"
    models = [path for path in (float_model, int8_model, ptq_model) if path is not None]
    write_json(
        output,
        {
            "format_version": FORMAT,
            **section.model_dump(),
            "said": said,
            "against_float": drop and asdict(drop),
            "against_ptq": against_ptq and asdict(against_ptq),
            "provenance": provenance.record([*models, data], section.model_dump()),
        },
    )
    return said


def _published(found: Accuracy, published: Published, model: Path) -> str:
    """Compare with a published figure; beside the tolerance, twice the standard error of the share is allowed."""
    share = published.top1 / 100
    chance = 200 * float(np.sqrt(share * (1 - share) / found.pictures))
    text = f"top-1 {100 * found.top1:.2f} % on {found.pictures} validation pictures, published {published.top1:g} %"
    if 100 * found.top1 < published.top1 - published.tolerance - chance:
        raise UserError(
            f"the accuracy gate is closed: {model}: {text}, more than quantized_model.top1_tolerance "
            f"{published.tolerance:g} (and {chance:.1f} of chance) below it: look at data.preprocessing, the order of "
            "the labels, and drop_background"
        )
    return text
