"""A device run in words, for log and report."""

from collections.abc import Iterator, Sequence

from qatflow.device.interface import DeviceDescription
from qatflow.device.results.report import DeviceReport, ModelReport

EMULATED = "emulated, not from a real device"


def threads(number: int) -> str:
    """Return `1 thread`, `2 threads`."""
    return f"{number} thread" if number == 1 else f"{number} threads"


def cores(about: DeviceDescription) -> str:
    """Return `1 core`, `2 cores`."""
    return f"{about.cores} core" if about.cores == 1 else f"{about.cores} cores"


def device(about: DeviceDescription) -> str:
    """Return the device in one line."""
    governor = about.governor and f"governor {about.governor}"
    parts = [about.model, about.system, about.cpu, cores(about), governor]
    return f"{about.name} ({', '.join(filter(None, parts))})"


def agreement(model: ModelReport) -> str:
    """Return how well host and device agree, and on how many pictures."""
    result = model.agreement
    if result.bit_equal:
        same = "equal bits"
    elif result.integer_part:
        same = f"equal integers, outputs within {result.largest_difference:.0e}"
    else:
        same = f"within {amount(result.largest_difference, result.unit)}"
    return f"{result.pictures} pictures, {same}"


def against_host(model: ModelReport) -> str:
    """Return `agreement` with the difference that was allowed, and why."""
    result = model.agreement
    allowed = amount(result.tolerance, result.unit) if result.tolerance else "none"
    return f"{agreement(model)}; difference allowed: {allowed}{f' ({result.reason})' if result.reason else ''}"


def left_out(counts: Sequence[int], about: DeviceDescription) -> Iterator[str]:
    """Yield a warning if some numbers of threads were not timed."""
    if counts:
        numbers = " and ".join(map(str, counts))
        yield f"{about.name} has {cores(about)}, so {numbers} threads of device.threads were not timed there."


def amount(value: float, unit: str) -> str:
    """Return a difference with its unit."""
    return f"{value:.3g} {unit}".rstrip()


def times(report: DeviceReport) -> Iterator[str]:
    """Yield a line for each model and number of threads."""
    for name, model in report.models.named.items():
        for timing in model.timing:
            mark = f" ({EMULATED})" if timing.emulated else ""
            yield f"{name}, {threads(timing.threads)}: median {timing.median_ms:.3f} ms of {timing.runs} runs{mark}"
