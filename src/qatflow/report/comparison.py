"""Several experiments side by side: a line for each device of each experiment, with intervals, also as CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import permutations
from pathlib import Path
from typing import Any

from qatflow.base.measure import (
    ACCURACY,
    MEASURES,
    Measure,
    MeasureKey,
    measure_in,
    share,
    share_if_any,
)
from qatflow.base.metrics import unpaired_interval, wilson
from qatflow.base.right_answers import paired
from qatflow.base.sums import read_sealed
from qatflow.device.results.report import read_report
from qatflow.tflite.precision import Precision


@dataclass(frozen=True)
class Line:
    """The figures of an experiment and of one of its devices, for the model that ships unless another is named.

    Attributes:
        experiment: its name.
        shipped: `ptq`, `qat` or `ready`.
        test_pictures: number of pictures in the test split.
        float_top1: top-1 of the float model on them, in percent; None if there is no float model, as for `drop`, or
            its own answers are the labels.
        top1: top-1 of the shipped model, in percent; without labels, agreement with float, and so is all that follows.
        top1_low: lower end of its 95 % interval (Wilson).
        top1_high: upper end.
        drop: loss of top-1 against float on the validation pictures, in points; negative for a gain.
        drop_low: lower end of its 95 % interval (paired).
        drop_high: upper end.
        bytes: size of the .tflite file.
        host_ms: median latency of one picture on the host.
        device: name of the device; empty if the gate before it is closed.
        device_ms: latency there, at the first number of threads; None if emulated.
        device_memory_bytes: peak resident memory there, at the first number of threads; None if emulated or unknown.
        instructions: instructions executed for one picture; None if not counted.
        training_s: wall time of the training for int8 since its last start; None if there was none.
        passed: whether the gate before the devices and that of this device are open.
        reason: why one of them is closed.
        undecided: whether the accuracy gate is open but the validation pictures are too few to decide.
        timing: what `device_ms` is: a median, or a percentile by `device.rules`; empty if emulated.
        quantised: what its integers are: `int8`, or by their bits, as `W8A16`.
        measure: of the pictures: `accuracy` or `float_agreement`.
    """

    experiment: str
    shipped: str
    test_pictures: int
    float_top1: float | None
    top1: float
    top1_low: float
    top1_high: float
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    bytes: int
    host_ms: float
    device: str
    device_ms: float | None
    device_memory_bytes: int | None
    instructions: int | None
    training_s: float | None
    passed: bool
    reason: str
    undecided: bool = False
    timing: str = ""
    quantised: str = "int8"
    measure: MeasureKey = "accuracy"

    @property
    def ships(self) -> str:
        """How the model that ships was made, and its widths if they are not those of int8."""
        return self.shipped if self.quantised == "int8" else f"{self.shipped}, {self.quantised}"


def lines(folder: Path, shipped: str, devices: Sequence[str], training: Path | None) -> Iterator[Line]:
    """Yield the figures of an experiment, a line per device, or one without a device if the gate before them is closed.

    Args:
        folder: results/<experiment>, with its evaluation.json and gate.json.
        shipped: the model that goes to the device: `ptq`, `qat` or `ready`.
        devices: names of the devices; their folders hold report.json and device_gate.json.
        training: Snakemake's benchmark file of the training for int8; None if there was none.

    Raises:
        UserError: a device's report cannot be read.
    """
    evaluation, gate = read_sealed(folder / "evaluation.json"), read_sealed(folder / "gate.json")
    models, measure = evaluation["models"], measure_in(evaluation)
    drop, int8 = gate["against_float"] or {}, models[shipped]
    low, high = wilson(round(share(int8) * int8["pictures"]), int8["pictures"])
    float_share = share_if_any(models["float"]) if "float" in models else None
    experiment = Line(
        experiment=folder.name,
        shipped=shipped,
        test_pictures=int8["pictures"],
        float_top1=None if float_share is None else 100 * float_share,
        top1=100 * share(int8),
        top1_low=100 * low,
        top1_high=100 * high,
        drop=drop.get("points"),
        drop_low=drop.get("low"),
        drop_high=drop.get("high"),
        bytes=int8["bytes"],
        host_ms=int8["host_ms"]["median"],
        device="",
        device_ms=None,
        device_memory_bytes=None,
        instructions=None,
        training_s=None if training is None else _seconds(training),
        passed=gate["passed"],
        reason=gate["reason"] or "",
        undecided=gate["outcome"] == "undecided",
        quantised=Precision.of_json(int8["quantised"]).short,
        measure=measure.key,
    )
    if not gate["passed"]:
        yield experiment  # reports of its devices from before are of another model, or had another limit
        return
    for device in devices:
        report = read_report(folder / "device" / device / "report.json")
        timing, gate = report.models.int8.timing[0], read_sealed(folder / "device" / device / "device_gate.json")
        yield replace(
            experiment,
            device=device,
            device_ms=None if timing.emulated else report.models.int8.latency_ms,
            timing="" if timing.emulated else report.models.int8.latency_words,
            device_memory_bytes=None if timing.emulated else timing.peak_memory_bytes,
            instructions=report.models.int8.instructions,
            passed=gate["passed"],
            reason=gate["reason"] or "",
        )


def as_csv(lines: Sequence[Line]) -> str:
    """Return the lines as CSV, one column per field; None is empty. Without labels, no column is called top1."""
    text = io.StringIO()
    names = [field.name for field in fields(Line)]
    measure = measure_of_all(lines)
    if not measure.is_accuracy:
        names.remove("float_top1")
    shown = {name: name if measure.is_accuracy else name.replace("top1", measure.key) for name in names}
    writer = csv.DictWriter(text, list(shown.values()), lineterminator="\n")
    writer.writeheader()
    writer.writerows({new: getattr(line, name) for name, new in shown.items()} for line in lines)
    return text.getvalue()


def measure_of_all(lines: Sequence[Line]) -> Measure:
    """Return the measure that all lines share: a run never mixes experiments with and without labels."""
    (key,) = {line.measure for line in lines} or {ACCURACY.key}
    return MEASURES[key]


@dataclass(frozen=True)
class Difference:
    """Top-1 of one experiment's shipped model minus that of another's, on the test pictures.

    Attributes:
        points: in percentage points; above 0 where the first is better.
        low: lower end of its 95 % interval.
        high: upper end.
        paired: whether both were measured on the same pictures (`metrics.paired_interval`); else the interval is that
            of two independent shares (`metrics.unpaired_interval`).
    """

    points: float
    low: float
    high: float
    paired: bool

    @property
    def sign(self) -> int:
        """1 or −1 where the first model is better or worse by more than the noise; 0 where that cannot be told."""
        return int(self.low > 0) - int(self.high < 0)


Differences = Mapping[tuple[str, str], Difference]
"""By the names of two experiments: the first minus the second."""


def difference(evaluation: Mapping[str, Any], model: str, baseline: Mapping[str, Any], other: str) -> Difference:
    """Return the difference of top-1 between two models.

    Args:
        evaluation: evaluation.json of an experiment.
        model: name of its model there.
        baseline: evaluation.json of the experiment that is subtracted.
        other: name of its model there.
    """
    drop = paired(baseline, other, evaluation, model)
    if drop is not None:
        return Difference(0.0 - drop.points, 0.0 - drop.high, 0.0 - drop.low, True)
    first, second = evaluation["models"][model], baseline["models"][other]
    counts = [(round(share(one) * one["pictures"]), one["pictures"]) for one in (first, second)]
    low, high = unpaired_interval(*counts[0], *counts[1])
    return Difference(100 * (share(first) - share(second)), low, high, False)


def differences(folders: Mapping[Path, str]) -> Differences:
    """Return the differences between any two experiments; `folders` are results/<experiment>, with what each ships."""
    evaluations = {folder: read_sealed(folder / "evaluation.json") for folder in folders}
    return {
        (one.name, other.name): difference(evaluations[one], folders[one], evaluations[other], folders[other])
        for one, other in permutations(folders, 2)
    }


def experiments(lines: Sequence[Line]) -> list[Line]:
    """Return the first line of each experiment, for what does not depend on the device."""
    return list({line.experiment: line for line in reversed(lines)}.values())[::-1]


def pareto(lines: Sequence[Line], cost: str, better: Callable[[Line, Line], bool]) -> list[Line]:
    """Return the Pareto front, cheapest first: each is better than all cheaper ones of the front by more than noise.

    Args:
        lines: the lines, in any order.
        cost: the field with the cost.
        better: whether the first line's top-1 is above the second's by more than the noise.
    """
    front: list[Line] = []
    for line in sorted(lines, key=lambda line: (getattr(line, cost), -line.top1)):
        if not front or better(line, front[-1]):
            front.append(line)
    return front


def by_more_than_noise(known: Differences) -> Callable[[Line, Line], bool]:
    """Return what `pareto` asks: whether the interval of the difference lies above 0."""
    return lambda line, other: line.experiment != other.experiment and known[line.experiment, other.experiment].sign > 0


def _seconds(benchmark: Path) -> float:
    """Return the seconds in the last line of Snakemake's benchmark file (JSON lines)."""
    return float(json.loads(benchmark.read_text(encoding="utf-8").splitlines()[-1])["s"])
