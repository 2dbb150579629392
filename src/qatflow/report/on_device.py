"""What the device run found, float and int8 side by side, for table, page and summary.json."""

from collections.abc import Iterator
from dataclasses import dataclass

from qatflow.device.report import DeviceReport, ModelReport, OperatorTime, Timing
from qatflow.device.words import device, threads

HEAD = ("on the device", "float", "int8", "float / int8")
SLOWEST = 8


@dataclass(frozen=True)
class Figure:
    """A figure of both models.

    Attributes:
        name: what it is, with its unit, and its mark where it is emulated.
        digits: digits behind the point that are shown.
        float_model: of the float model; None where the device does not tell.
        int8_model: of the int8 model.
        ratio: float divided by int8, where that says something.
    """

    name: str
    digits: int
    float_model: float | None
    int8_model: float | None
    ratio: float | None = None


@dataclass(frozen=True)
class OnDevice:
    """What the device run found.

    Attributes:
        device: what the models ran on, in words.
        emulated: whether its times say nothing of real devices.
        figures: both models side by side.
        conditions: frequency limits and temperature, in words; empty where the device does not tell.
        warnings: what the user should know before believing or shipping.
    """

    device: str
    emulated: bool
    figures: tuple[Figure, ...]
    conditions: tuple[str, ...]
    warnings: tuple[str, ...]


def on_device(report: DeviceReport) -> OnDevice:
    """Return what a device run found."""
    about = report.device
    return OnDevice(
        device(about),
        about.emulated,
        tuple(_figures(report)),
        tuple(_conditions(report)),
        report.warnings,
    )


def cells(figure: Figure) -> tuple[str, ...]:
    """Return a line of the table, one text a column of `HEAD`."""
    values = (figure.float_model, figure.int8_model)
    shown = ("" if value is None else f"{value:,.{figure.digits}f}" for value in values)
    return (figure.name, *shown, "" if figure.ratio is None else f"{figure.ratio:.2f}")


def times(report: DeviceReport) -> Iterator[tuple[str, Timing]]:
    """Yield all that was timed, by model, float and int8 in turn."""
    models = report.models
    for pair in zip(models.float.timing, models.int8.timing, strict=True):
        yield from zip(("float", "int8"), pair, strict=True)


def slowest(model: ModelReport) -> list[OperatorTime]:
    """Return the operators that take longest, the slowest first."""
    return sorted(model.profile.operators, key=lambda operator: (-operator.mean_ms, operator.index))[:SLOWEST]


def _figures(report: DeviceReport) -> Iterator[Figure]:
    models, ratio = report.models, report.ratio
    float_, int8 = models.float, models.int8
    mark = " (emulated)" if report.device.emulated else ""
    yield Figure(
        f"top-1 %, {int8.accuracy.pictures} {int8.accuracy.split} pictures", 2,
        100 * float_.accuracy.device_top1, 100 * int8.accuracy.device_top1,
    )  # fmt: skip
    yield Figure("top-5 %", 2, 100 * float_.accuracy.device_top5, 100 * int8.accuracy.device_top5)
    yield Figure("bytes", 0, float_.bytes, int8.bytes, ratio.bytes)
    if float_.instructions is not None and int8.instructions is not None:
        yield Figure("instructions a picture", 0, float_.instructions, int8.instructions, ratio.instructions)
    first_float, first_int8 = float_.timing[0], int8.timing[0]
    yield Figure(f"load, ms{mark}", 1, first_float.load_ms, first_int8.load_ms, ratio.load_ms)
    yield Figure(f"first run, ms{mark}", 3, first_float.first_ms, first_int8.first_ms)
    ratios = {found.threads: found.ratio for found in ratio.median_ms or ()}
    for one, other in zip(float_.timing, int8.timing, strict=True):
        name = f"median, {threads(one.threads)}, ms{mark}"
        yield Figure(name, 3, one.median_ms, other.median_ms, ratios.get(one.threads))
    memory = f"peak memory, MB{mark}"
    yield Figure(memory, 1, _megabytes(first_float), _megabytes(first_int8), ratio.peak_memory_bytes)


def _conditions(report: DeviceReport) -> Iterator[str]:
    for cores in report.device.frequency or ():
        low, high, hardware = (_mhz(value) for value in (cores.min_khz, cores.max_khz, cores.hardware_max_khz))
        who = f"cores {cores.cores or '?'}: governor {cores.governor or '?'}"
        yield f"{who}, {low} to {high} MHz allowed, {hardware} MHz the hardware's highest"
    for sensor in report.temperature or ():
        after = "?" if sensor.after is None else f"{sensor.after:.1f}"
        yield f"{sensor.sensor}: {sensor.before:.1f} °C before the timing, {after} °C after"


def _megabytes(timing: Timing) -> float | None:
    return None if timing.peak_memory_bytes is None else timing.peak_memory_bytes / 1e6


def _mhz(khz: int | None) -> str:
    return "?" if khz is None else f"{khz / 1000:.0f}"
