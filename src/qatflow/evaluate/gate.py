"""The accuracy gate: may the int8 model go to the device?"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qatflow.base import provenance
from qatflow.base.metrics import Accuracy, Drop, Verdict, accuracy, more_pictures, paired_drop, verdict
from qatflow.base.sums import write_sealed
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.config.sections.model import QuantizedModelSection
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import tensors
from qatflow.tflite.run import Model

FORMAT = 4
Outcome = Literal["open", "closed", "undecided"]


@dataclass(frozen=True)
class Found:
    """What the gate found.

    Attributes:
        said: a line a comparison; a warning where a loss above its limit is let through.
        reason: why the model may not go to the device, with what to do; None where it may.
        outcome: `undecided`: it may, as accuracy.undecided says, though the pictures are too few to decide.
    """

    said: list[str]
    reason: str | None
    outcome: Outcome


@dataclass(frozen=True)
class Limit:
    """What a loss is held to.

    Attributes:
        points: the limit, in percentage points.
        above: what a loss is that is above it, in words.
        remedy: what to do about such a loss.
        let: a loss above it is let through, and this says why; None: it closes the gate.
    """

    points: float
    above: str
    remedy: str
    let: str | None = None


@dataclass(frozen=True)
class Judged:
    """A loss held to its limit.

    Attributes:
        verdict: by `metrics.verdict`.
        said: the loss and what it is found to be, in one line.
        reason: why the gate is closed; None where it is not because of this.
    """

    verdict: Verdict
    said: str
    reason: str | None


def judge(loss: str, drop: Drop, limit: Limit, section: AccuracySection) -> Judged:
    """Hold a loss (`loss` in words) to its limit: the one rule of `metrics.verdict`, and what follows for the gate."""
    found, refuse = verdict(drop, limit.points), section.undecided == "refuse"
    if found == "within":
        return Judged(found, loss, None)
    if found == "above":
        told = f"{loss}, surely {limit.above}"
        if limit.let is None:
            return Judged(found, told, f"{told}: {limit.remedy}")
        return Judged(found, f"warning: {told}, {limit.let}", None)
    more = more_pictures(drop, limit.points)
    told = f"{loss}, undecided whether {limit.above}: {_in_words(more)}"
    if refuse and limit.let is None:
        way_out = f"{'add pictures to the validation set (data.validation), ' if more else ''}{limit.remedy}"
        return Judged(found, told, f"{told}: {way_out}, or set accuracy.undecided to pass")
    return Judged(found, f"warning: {told}" if drop.points > limit.points else told, None)


def _in_words(more: int | None) -> str:
    if more is None:
        return "no number of pictures would decide, so near is the loss to the limit"
    return f"about {more:,} more validation pictures would decide"


@dataclass(frozen=True)
class Published:
    """A figure that a model is held to: top-1 and how far below it the model may be, in percent and points."""

    top1: float
    tolerance: float

    @staticmethod
    def of(section: QuantizedModelSection) -> "Published | None":
        """Return the figure that the configuration's section of a quantised model names; None where it names none."""
        return None if section.expected_top1 is None else Published(section.expected_top1, section.top1_tolerance)


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
        What was found. A closed gate is no error here: who needs it open asks its file (`qatflow.base.gates`).

    Raises:
        UserError: a model is no classifier of these data.
    """
    manifest = read_manifest(data)
    pictures, labels = tensors(manifest, "validation")

    def outputs(path: Path) -> np.ndarray:
        return Model(path).probabilities(pictures, manifest.classes)

    found = outputs(int8_model)
    said: list[str] = []
    reasons: list[str] = []
    undecided: list[str] = []
    drop = None
    if published is not None:
        told, reason = _published(accuracy(found, labels), published)
        said.append(told)
        reasons += [reason] if reason else []
    elif float_model is None:
        top1 = 100 * accuracy(found, labels).top1
        said.append(f"top-1 {top1:.2f} %, with no float model and no figure to compare with")
    if float_model is not None:
        drop = paired_drop(outputs(float_model), found, labels)
    verdicts: dict[str, Verdict | None] = {"max_drop": None, "worse_than_ptq": None}

    def hold(key: str, loss: str, drop: Drop, limit: Limit) -> None:
        judged = judge(loss, drop, limit, section)
        verdicts[key] = judged.verdict
        undecided.extend([key] if judged.verdict == "undecided" and limit.let is None else [])
        said.append(judged.said)
        reasons.extend([judged.reason] if judged.reason else [])

    if drop is not None and section.max_drop is not None:
        hold("max_drop", drop.text(), drop, _max_drop(section.max_drop))
    elif drop is not None:
        said.append(drop.text())
    against_ptq = None
    if ptq_model is not None:
        against_ptq = paired_drop(outputs(ptq_model), found, labels)
        loss = against_ptq.text("training for int8", "quantisation after training")
        hold("worse_than_ptq", loss, against_ptq, _worse_than_ptq(ptq_model, section))
    models = [path for path in (float_model, int8_model, ptq_model) if path is not None]
    closed = f"the accuracy gate is closed: {int8_model}: {'; and '.join(reasons)}. The models are kept"
    reason = closed if reasons else None
    outcome: Outcome = "closed" if reasons else "undecided" if undecided else "open"
    write_sealed(
        output,
        {
            "format_version": FORMAT,
            **section.model_dump(),
            "outcome": outcome,
            "verdicts": verdicts,
            "passed": reason is None,
            "reason": reason,
            "said": said,
            "against_float": drop and asdict(drop),
            "against_ptq": against_ptq and asdict(against_ptq),
            "provenance": provenance.record([*models, data], section.model_dump()),
        },
    )
    return Found(said, reason, outcome)


def _max_drop(points: float) -> Limit:
    """Return the limit of a loss against float that accuracy.max_drop sets."""
    return Limit(
        points,
        f"more than accuracy.max_drop {points:g}",
        "train longer, try another type of quantisation (weight_quantize_type, activation_quantize_type), or raise "
        "accuracy.max_drop",
    )


def _worse_than_ptq(ptq_model: Path, section: AccuracySection) -> Limit:
    remedy = f"lower compress.learning_rate or train longer, ship {ptq_model} (method: ptq), or set "
    let = "as accuracy.worse_than_ptq allows" if section.worse_than_ptq == "allow" else None
    return Limit(0.0, "worse", f"{remedy}accuracy.worse_than_ptq to allow", let)


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
