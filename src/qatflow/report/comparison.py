"""Several experiments side by side: one line for each and each of its devices, with intervals, and as CSV."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from qatflow.base.metrics import wilson
from qatflow.base.sums import read_sealed
from qatflow.device.results.report import read_report


@dataclass(frozen=True)
class Line:
    """An experiment's figures, and those of one of its devices; of the model that ships, unless another is named.

    Attributes:
        experiment: its name.
        shipped: `ptq`, `qat` or `ready`.
        test_pictures: pictures of the test split.
        float_top1: percent of them that the float model gets right; None where there is none, as for `drop`.
        top1: percent that the shipped model gets right.
        top1_low: lower end of its 95 % interval (Wilson).
        top1_high: upper end.
        drop: loss of top-1 against float on the validation pictures, in points; negative for a gain.
        drop_low: lower end of its 95 % interval (paired).
        drop_high: upper end.
        bytes: of the .tflite file.
        host_ms: median latency of one picture on the host.
        device: what it ran on; empty where the accuracy gate keeps it from all devices.
        device_ms: median latency there, at the first number of threads; None where emulated.
        instructions: executed for one picture; None where not counted.
        training_s: wall time of the training for int8, of its last start; None where there was none.
        passed: whether the gates are open: that of accuracy, and that of latency on this device.
        reason: why one is not, in its words.
        undecided: whether that of accuracy is open though the validation pictures are too few to decide.
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
    instructions: int | None
    training_s: float | None
    passed: bool
    reason: str
    undecided: bool = False


def lines(folder: Path, shipped: str, devices: Sequence[str], training: Path | None) -> Iterator[Line]:
    """Yield an experiment's figures, a line a device; one without a device where its accuracy gate is closed.

    Args:
        folder: results/<experiment>, with its evaluation.json and gate.json.
        shipped: what goes to the device: `ptq`, `qat` or `ready`.
        devices: names of the devices, in whose folders there report.json and latency_gate.json are.
        training: Snakemake's benchmark file of the training for int8; None where there was none.

    Raises:
        UserError: a device's report cannot be read.
    """
    models, gate = read_sealed(folder / "evaluation.json")["models"], read_sealed(folder / "gate.json")
    drop, int8 = gate["against_float"] or {}, models[shipped]
    low, high = wilson(round(int8["top1"] * int8["pictures"]), int8["pictures"])
    experiment = Line(
        experiment=folder.name,
        shipped=shipped,
        test_pictures=int8["pictures"],
        float_top1=100 * models["float"]["top1"] if "float" in models else None,
        top1=100 * int8["top1"],
        top1_low=100 * low,
        top1_high=100 * high,
        drop=drop.get("points"),
        drop_low=drop.get("low"),
        drop_high=drop.get("high"),
        bytes=int8["bytes"],
        host_ms=int8["host_ms"]["median"],
        device="",
        device_ms=None,
        instructions=None,
        training_s=None if training is None else _seconds(training),
        passed=gate["passed"],
        reason=gate["reason"] or "",
        undecided=gate["outcome"] == "undecided",
    )
    if not gate["passed"]:
        yield experiment  # what its devices measured before is of another model or another limit
        return
    for device in devices:
        report = read_report(folder / "device" / device / "report.json")
        timing, gate = report.models.int8.timing[0], read_sealed(folder / "device" / device / "latency_gate.json")
        yield replace(
            experiment,
            device=device,
            device_ms=None if timing.emulated else timing.median_ms,
            instructions=report.models.int8.instructions,
            passed=gate["passed"],
            reason=gate["reason"] or "",
        )


def as_csv(lines: Sequence[Line]) -> str:
    """Return the lines as CSV, one column a field; what is not there is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Line)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(line) for line in lines)
    return text.getvalue()


def experiments(lines: Sequence[Line]) -> list[Line]:
    """Return the first line of each experiment, for what does not depend on the device."""
    return list({line.experiment: line for line in reversed(lines)}.values())[::-1]


def pareto(lines: Sequence[Line], cost: str) -> list[Line]:
    """Return the lines that no other beats: with as much top-1 at less `cost`, or more at as much. Cheapest first."""
    best: list[Line] = []
    for line in sorted(lines, key=lambda line: (getattr(line, cost), -line.top1)):
        if not best or line.top1 > best[-1].top1:
            best.append(line)
    return best


def _seconds(benchmark: Path) -> float:
    """Return the seconds of Snakemake's benchmark file (JSON lines), of its last line."""
    return float(json.loads(benchmark.read_text(encoding="utf-8").splitlines()[-1])["s"])
