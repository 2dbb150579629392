"""The latency gate: is the model that ships fast enough on the device?"""

from pathlib import Path
from typing import Any

from qatflow.base import provenance
from qatflow.base.sums import write_sealed
from qatflow.device.results.report import DeviceReport, read_report
from qatflow.device.results.words import threads

FORMAT = 3


def gate_latency(report_file: Path, max_latency_ms: float | None, output: Path) -> str:
    """Compare the shipped model's median time at the first number of threads with the limit; write latency_gate.json.

    A closed gate is not an error here: what needs it open checks the file (`qatflow.base.gates`).

    Args:
        report_file: report.json of the device run.
        max_latency_ms: the limit in ms; None for no limit.
        output: file to write.

    Returns:
        The result in words.

    Raises:
        UserError: the report cannot be read.
    """
    outcome = latency_outcome(read_report(report_file), max_latency_ms, report_file)
    settings = {"max_latency_ms": max_latency_ms}
    record = provenance.record([report_file], settings)
    write_sealed(output, {"format_version": FORMAT, **outcome, "provenance": record})
    return str(outcome["reason"] or f"the latency gate is open: {outcome['said']}")


def latency_outcome(report: DeviceReport, max_latency_ms: float | None, report_file: Path) -> dict[str, Any]:
    """Return what latency_gate.json says: the limit, whether it holds, and what to do where it does not.

    Args:
        report: the device run.
        max_latency_ms: the limit in ms; None for no limit.
        report_file: its report.json, for the words.
    """
    timing = report.models.int8.timing[0]
    measured = (
        f"the model takes {timing.median_ms:.3f} ms per picture on {report.device.name} with "
        f"{threads(timing.threads)} (median of {timing.runs} runs)"
    )
    reason = remedy = None
    if max_latency_ms is None:
        finding = "no device.max_latency_ms is set" + (
            ": emulated times say nothing" if timing.emulated else f"; {measured}"
        )
    elif timing.emulated:
        finding = f"{report_file} has emulated times, which say nothing about a real device"
        remedy = "measure on one (device.type: adb or ssh), or set device.max_latency_ms to null"
        reason = f"{finding}: {remedy}"
    elif timing.median_ms > max_latency_ms:
        finding = f"{measured}, more than device.max_latency_ms {max_latency_ms:g}"
        remedy = (
            f"see the times of the operators in {report_file}, use a smaller model (model.alpha, "
            "data.preprocessing.size), start device.threads with a higher number, or raise device.max_latency_ms"
        )
        reason = f"{finding}. Models and report are kept; {remedy}"
    else:
        finding = f"{measured}, within device.max_latency_ms {max_latency_ms:g}"
    reason = reason and f"the latency gate is closed: {reason}"
    return {
        "max_latency_ms": max_latency_ms,
        "passed": reason is None,
        "reason": reason,
        "remedy": remedy,
        "emulated": timing.emulated,
        "threads": timing.threads,
        "median_ms": timing.median_ms,
        "said": finding,
    }
