"""The device gate: does the model that ships stay within the limits of time, memory and instructions?"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from qatflow.base import provenance
from qatflow.base.sums import write_sealed
from qatflow.device.results.report import DeviceReport, read_report
from qatflow.device.results.words import threads

FORMAT = 4
SMALLER = "use a smaller model (model.alpha, data.preprocessing.size)"
LimitState = Literal["passed", "closed", "not set"]


@dataclass(frozen=True)
class Limited:
    """A figure of the model that ships which a key of `device` limits.

    Attributes:
        key: of `device`, the limit.
        name: of the figure.
        unit: of the limit.
        value: the figure; None where the device does not report it.
        short: the figure in words.
        sentence: the same, with where and how it was measured.
        counted: whether it is exact in an emulator too; other figures say nothing there.
        first: what to do first where it is above the limit.
    """

    key: str
    name: str
    unit: str
    value: Callable[[DeviceReport], float | None]
    short: str
    sentence: str
    counted: bool
    first: str


LIMITED = (
    Limited(
        "max_latency_ms",
        "latency",
        " ms",
        lambda report: report.models.int8.latency_ms,
        "{value:.3f} ms for one picture",
        "the model takes {value:.3f} ms per picture on {device} with {threads} ({figure})",
        counted=False,
        first=f"see the times of the operators in {{file}}, {SMALLER}, start device.threads with a higher number, ",
    ),
    Limited(
        "max_memory_bytes",
        "peak memory",
        " bytes",
        lambda report: report.models.int8.timing[0].peak_memory_bytes,
        "{value:,.0f} bytes at most",
        "the program takes up to {value:,.0f} bytes of memory on {device} with {threads}",
        counted=False,
        first=f"{SMALLER}, ",
    ),
    Limited(
        "max_instructions",
        "instructions",
        "",
        lambda report: report.models.int8.instructions,
        "{value:,.0f} instructions for one picture",
        "the model executes {value:,.0f} instructions per picture on {device}",
        counted=True,
        first=f"see the instructions of the operators in {{file}}, {SMALLER}, ",
    ),
)
"""The limits that need a run. That of the model's bytes is known before one: it belongs to the gate before the device
(`qatflow.evaluate.gate`).
"""


@dataclass(frozen=True)
class LimitOutcome:
    """A limit of device_gate.json.

    Attributes:
        key: of `device`.
        name: what is limited.
        state: `passed`, `closed` or `not set`.
        limit: the limit; None where none is set.
        limit_words: the limit with its unit; empty where none is set.
        measured: the figure; None where the device does not report it.
        measured_words: the figure in words.
        emulated: whether the figure is an emulator's and says nothing about a real device.
        said: the comparison in words.
        remedy: what to do; empty where nothing is to be done.
    """

    key: str
    name: str
    state: LimitState
    limit: float | None
    limit_words: str
    measured: float | None
    measured_words: str
    emulated: bool
    said: str
    remedy: str


def gate_device(report_file: Path, limits: Mapping[str, float | None], output: Path) -> str:
    """Compare the figures of the model that ships with their limits; write device_gate.json.

    A closed gate is not an error here: what needs it open checks the file (`qatflow.base.gates`).

    Args:
        report_file: report.json of the device run.
        limits: of the keys of `LIMITED`; None, or no key, for no limit.
        output: file to write.

    Returns:
        The result in words.

    Raises:
        UserError: the report cannot be read.
    """
    outcomes = device_outcomes(read_report(report_file), limits, report_file)
    closed = [outcome for outcome in outcomes if outcome.state == "closed"]
    reason = (
        f"the device gate is closed: {'; and '.join(outcome.said for outcome in closed)}. Models and report are kept; "
        f"{'; '.join(dict.fromkeys(outcome.remedy for outcome in closed))}"
        if closed
        else None
    )
    record = provenance.record([report_file], dict(limits))
    write_sealed(
        output,
        {
            "format_version": FORMAT,
            "passed": reason is None,
            "reason": reason,
            "limits": [asdict(outcome) for outcome in outcomes],
            "provenance": record,
        },
    )
    return reason or f"the device gate is open: {'; '.join(outcome.said for outcome in outcomes)}"


def device_outcomes(
    report: DeviceReport, limits: Mapping[str, float | None], report_file: Path
) -> tuple[LimitOutcome, ...]:
    """Return each limit that is set, and the latency, in the order of `LIMITED`.

    Args:
        report: the device run.
        limits: as of `gate_device`.
        report_file: its report.json, for the words.
    """
    return tuple(
        _outcome(limited, report, limits.get(limited.key), report_file)
        for limited in LIMITED
        if limits.get(limited.key) is not None or limited is LIMITED[0]
    )


def _outcome(limited: Limited, report: DeviceReport, limit: float | None, report_file: Path) -> LimitOutcome:
    timing = report.models.int8.timing[0]
    value, name, key = limited.value(report), report.device.name, f"device.{limited.key}"
    emulated = timing.emulated and not limited.counted
    about = {
        "device": name,
        "threads": threads(timing.threads),
        "figure": report.models.int8.latency_words,
        "value": value,
    }
    sentence = f"{name} does not report {limited.name}" if value is None else limited.sentence.format(**about)
    state, remedy = "passed", ""
    allowed = "" if limit is None else f"{limit:,g}" if limit < 1e6 else f"{limit:,.0f}"
    if limit is None:
        state = "not set"
        said = f"no {key} is set" + (": emulated times say nothing" if emulated else f"; {sentence}")
    elif emulated:
        state = "closed"
        said = f"{report_file} has an emulator's {limited.name}, which says nothing about a real device"
        remedy = f"measure on one (device.type: adb or ssh), or set {key} to null"
    elif value is None:
        state, said = "closed", f"{sentence}, which {key} limits"
        remedy = f"set {key} to null for this device"
    elif value > limit:
        state, said = "closed", f"{sentence}, more than {key} {allowed}"
        remedy = f"{limited.first.format(file=report_file)}or raise {key}"
    else:
        said = f"{sentence}, within {key} {allowed}"
    return LimitOutcome(
        limited.key,
        limited.name,
        state,  # type: ignore[arg-type]
        limit,
        "" if limit is None else f"{allowed}{limited.unit}",
        value,
        "not reported" if value is None else limited.short.format(value=value),
        emulated,
        said,
        remedy,
    )
