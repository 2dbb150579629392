"""The gate before the device: may the int8 model go there, by its accuracy and its bytes?"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qatflow.base import provenance
from qatflow.base.metrics import Accuracy, Drop, Verdict, more_pictures, paired_drop, ranked_accuracy, verdict
from qatflow.base.sums import write_sealed
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.config.sections.model import QuantizedModelSection
from qatflow.data.answers import measure_of
from qatflow.data.manifest import read_manifest
from qatflow.inference.pictures import PreparedPictures
from qatflow.inference.ranking import rank
from qatflow.tflite.precision import precision_of

FORMAT = 7
SMALLER = (
    "use a smaller network (model.alpha), prune filters or store 4-bit kernels as INT4 (int4_storage) in the compress "
    "YAML, or raise device.max_bytes"
)
GateOutcome = Literal["open", "closed", "undecided"]


@dataclass(frozen=True)
class GateDecision:
    """The decision of the gate.

    Attributes:
        lines: a line for each comparison; a warning where a loss above its limit is allowed.
        reason: why the model may not go to the device, and what to do; None where it may.
        outcome: `undecided`: the model may go, as accuracy.undecided says, but the pictures are too few to decide.
    """

    lines: list[str]
    reason: str | None
    outcome: GateOutcome


@dataclass(frozen=True)
class Limit:
    """The limit of a loss.

    Attributes:
        points: the limit, in percentage points.
        above: words for a loss above it.
        remedy: what to do about such a loss.
        let: why a loss above it is allowed; None: it closes the gate.
    """

    points: float
    above: str
    remedy: str
    let: str | None = None


@dataclass(frozen=True)
class Judged:
    """A loss compared with its limit.

    Attributes:
        verdict: by `metrics.verdict`.
        line: the loss and the verdict, in one line.
        reason: why this loss closes the gate; None where it does not.
    """

    verdict: Verdict
    line: str
    reason: str | None


@dataclass(frozen=True)
class Size:
    """The size of the .tflite that ships, compared with the limit of a device.

    Attributes:
        device: its name.
        limit: its largest size in bytes.
        bytes: size of the model.
        closes: whether the model is larger.
        line: both in one line.
        remedy: what to do; empty where the model is not larger.
    """

    device: str
    limit: int
    bytes: int
    closes: bool
    line: str
    remedy: str


def judge(loss: str, drop: Drop, limit: Limit, section: AccuracySection) -> Judged:
    """Compare a loss with its limit, by the rule of `metrics.verdict`, and return what follows for the gate.

    Args:
        loss: the loss in words.
        drop: the loss in figures.
        limit: of the loss.
        section: of the configuration, which says what to do when the pictures are too few to decide.
    """
    result = verdict(drop, limit.points)
    if result == "within":
        return Judged(result, loss, None)
    if result == "above":
        line = f"{loss}, significantly {limit.above}"
        if limit.let is None:
            return Judged(result, line, f"{line}: {limit.remedy}")
        return Judged(result, f"warning: {line}, {limit.let}", None)
    more = more_pictures(drop, limit.points)
    line = f"{loss}, undecided whether {limit.above}: {_in_words(more)}"
    if section.undecided == "refuse" and limit.let is None:
        way_out = f"{'add pictures to the validation set (data.validation), ' if more else ''}{limit.remedy}"
        return Judged(result, line, f"{line}: {way_out}, or set accuracy.undecided to pass")
    return Judged(result, f"warning: {line}" if drop.points > limit.points else line, None)


def _in_words(more: int | None) -> str:
    if more is None:
        return "the loss is so close to the limit that no number of pictures would decide"
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
    cores: int = 1,
    max_bytes: Mapping[str, int] | None = None,
) -> GateDecision:
    """Measure how much accuracy int8 costs on the validation pictures, and write to gate.json whether that is allowed.

    Args:
        float_model: float .tflite; None for a model that came quantised.
        int8_model: int8 .tflite to go to the device.
        ptq_model: int8 .tflite quantised after training, which a trained one must not be worse than; None where it is
            the model itself.
        data: manifest.json of the data; its validation split is used whole.
        section: says what is allowed.
        output: file to write.
        published: a figure that the model must reach; None: none.
        cores: number of processes that run pictures; it does not change the figures.
        max_bytes: largest size of `int8_model` by the name of each device that has a limit.

    Returns:
        The decision. A closed gate is no error here; rules that need it open read its file (`qatflow.base.gates`).

    Raises:
        UserError: a model is no classifier of these data.
    """
    files = {"float": float_model, "int8": int8_model, "ptq": ptq_model}
    models = {name: path for name, path in files.items() if path is not None}
    manifest = read_manifest(data)
    measure = measure_of(manifest)
    ranked = rank(models, PreparedPictures.of(manifest, "validation", processes=cores))
    measured = ranked_accuracy(ranked.best["int8"], ranked.labels)
    name = precision_of(int8_model).short
    lines: list[str] = []
    reasons: list[str] = []
    undecided: list[str] = []
    drop, held_to = None, None
    if published is not None:
        line, reason = _published(measured, published)
        held_to = {**asdict(published), "measured_top1": 100 * measured.top1, "pictures": measured.pictures}
        held_to["closes"] = reason is not None
        lines.append(line)
        reasons += [reason] if reason else []
    elif float_model is None:
        lines.append(f"top-1 {100 * measured.top1:.2f} %, with no float model and no figure to compare with")
    if float_model is not None:
        drop = paired_drop(ranked.predicted("float"), ranked.predicted("int8"), ranked.labels)
    verdicts: dict[str, Verdict | None] = {"max_drop": None, "worse_than_ptq": None}

    comparisons: list[dict[str, Any]] = []

    def hold(key: str, loss: str, drop: Drop, limit: Limit) -> None:
        judged = judge(loss, drop, limit, section)
        comparisons.append(
            {
                "key": key,
                "verdict": judged.verdict,
                "limit": limit.points,
                "allowed": limit.let is not None,
                "closes": judged.reason is not None,
                "more_pictures": more_pictures(drop, limit.points) if judged.verdict == "undecided" else None,
                "remedy": limit.remedy,
                **drop.figures(measure),
            }
        )
        verdicts[key] = judged.verdict
        undecided.extend([key] if judged.verdict == "undecided" and limit.let is None else [])
        lines.append(judged.line)
        reasons.extend([judged.reason] if judged.reason else [])

    if drop is not None and section.max_drop is not None:
        hold("max_drop", drop.text(name, measure=measure), drop, _max_drop(section.max_drop))
    elif drop is not None:
        lines.append(drop.text(name, measure=measure))
    against_ptq = None
    if ptq_model is not None:
        against_ptq = paired_drop(ranked.predicted("ptq"), ranked.predicted("int8"), ranked.labels)
        loss = against_ptq.text(f"training for {name}", "quantisation after training", measure)
        hold("worse_than_ptq", loss, against_ptq, _worse_than_ptq(ptq_model, section))
    sizes = tuple(_sizes(int8_model, max_bytes or {}))
    lines += [size.line for size in sizes]
    closed_by = "accuracy" if reasons else "size"
    reasons += [f"{size.line}: {size.remedy}" for size in sizes if size.closes]
    closed = f"the {closed_by} gate is closed: {int8_model}: {'; and '.join(reasons)}. The models are kept"
    reason = closed if reasons else None
    outcome: GateOutcome = "closed" if reasons else "undecided" if undecided else "open"
    write_sealed(
        output,
        {
            "format_version": FORMAT,
            "measure": measure.key,
            **section.model_dump(),
            "outcome": outcome,
            "verdicts": verdicts,
            "comparisons": comparisons,
            "published": held_to,
            "sizes": [asdict(size) for size in sizes],
            "passed": reason is None,
            "reason": reason,
            "said": lines,
            "against_float": drop and drop.figures(measure),
            "against_ptq": against_ptq and against_ptq.figures(measure),
            "provenance": provenance.record([*models.values(), data], section.model_dump()),
        },
    )
    return GateDecision(lines, reason, outcome)


def _sizes(model: Path, limits: Mapping[str, int]) -> Iterator[Size]:
    size = model.stat().st_size
    for device, limit in limits.items():
        closes = size > limit
        line = f"{size:,} bytes, {'more than' if closes else 'within'} device.max_bytes {limit:,} of {device}"
        yield Size(device, limit, size, closes, line, SMALLER if closes else "")


def _max_drop(points: float) -> Limit:
    """Return the limit of a loss against float, from accuracy.max_drop."""
    return Limit(
        points,
        f"more than accuracy.max_drop {points:g}",
        "train for int8 (method: qat) or train longer, use more bits (weight_bits) or another type of quantisation "
        "(weight_quantize_type, activation_quantize_type), or raise accuracy.max_drop",
    )


def _worse_than_ptq(ptq_model: Path, section: AccuracySection) -> Limit:
    remedy = f"lower compress.learning_rate or train longer, ship {ptq_model} (method: ptq), or set "
    let = "as accuracy.worse_than_ptq allows" if section.worse_than_ptq == "allow" else None
    return Limit(0.0, "worse", f"{remedy}accuracy.worse_than_ptq to allow", let)


def _published(measured: Accuracy, published: Published) -> tuple[str, str | None]:
    """Compare with a published figure; besides the tolerance, twice the standard error of the share is allowed.

    Returns:
        The figures in one line, and why they are too low; None where they are not.
    """
    share = published.top1 / 100
    chance = 200 * float(np.sqrt(share * (1 - share) / measured.pictures))
    text = (
        f"top-1 {100 * measured.top1:.2f} % on {measured.pictures} validation pictures, published {published.top1:g} %"
    )
    if 100 * measured.top1 < published.top1 - published.tolerance - chance:
        return text, (
            f"{text}, more than quantized_model.top1_tolerance {published.tolerance:g} (and {chance:.1f} of chance) "
            "below it: look at data.preprocessing, the order of the labels, and drop_background"
        )
    return text, None
