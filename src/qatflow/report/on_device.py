"""The results of a device run, float and int8 side by side, for table, page and summary.json."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qatflow.device.results.report import DeviceReport, ModelReport, Timing
from qatflow.device.results.words import device, threads


@dataclass(frozen=True)
class Figure:
    """A figure for both models.

    Attributes:
        name: its name with unit, marked if emulated.
        digits: digits shown after the decimal point.
        float_model: value of the float model; None if there is none, or the device does not report it.
        int8_model: value of the int8 model; None if the device does not report it.
        ratio: float divided by int8, where that is meaningful.
    """

    name: str
    digits: int
    float_model: float | None
    int8_model: float | None
    ratio: float | None = None


@dataclass(frozen=True)
class OnDevice:
    """The results of a device run.

    Attributes:
        name: name of the device in the configuration.
        device: what the models ran on, in words.
        emulated: whether it is emulated, so that its times say nothing about real devices.
        figures: both models side by side.
        conditions: frequency limits and temperatures, in words; empty if the device does not report them.
        warnings: what the user should know before trusting the results or shipping the model.
        demo: the program's output.
    """

    name: str
    device: str
    emulated: bool
    figures: tuple[Figure, ...]
    conditions: tuple[str, ...]
    warnings: tuple[str, ...]
    demo: str


def on_device(report: DeviceReport, demo: str, warnings: tuple[str, ...] = ()) -> OnDevice:
    """Return the results of a device run; `demo` is the program's output, `warnings` are more than the run's own."""
    about = report.device
    return OnDevice(
        about.name,
        device(about),
        about.emulated,
        tuple(_figures(report)),
        tuple(_conditions(report)),
        (*report.warnings, *warnings),
        demo,
    )


def head(quantised: str = "int8") -> tuple[str, ...]:
    """Return the names of the columns; `quantised` is what the model that ships is called."""
    return ("on the device", "float", quantised, f"float / {quantised}")


def cells(figure: Figure) -> tuple[str, ...]:
    """Return a line of the table: one text per column of `head`."""
    values = (figure.float_model, figure.int8_model)
    shown = ("" if value is None else f"{value:,.{figure.digits}f}" for value in values)
    return (figure.name, *shown, "" if figure.ratio is None else f"{figure.ratio:.2f}")


def times(report: DeviceReport) -> Iterator[tuple[str, Timing]]:
    """Yield all timings with the name of their model, alternating float and int8."""
    models = report.models.named
    for timings in zip(*(model.timing for model in models.values()), strict=True):
        yield from zip(models, timings, strict=True)


def _figures(report: DeviceReport) -> Iterator[Figure]:
    int8, ratio = report.models.int8, report.ratio
    mark = " (emulated)" if report.device.emulated else ""
    ratios = {timing.threads: timing.ratio for timing in (ratio.median_ms if ratio else None) or ()}

    def figure(
        name: str, digits: int, value: Callable[[ModelReport], float | None], over: float | None = None
    ) -> Figure:
        float_ = report.models.float
        return Figure(name, digits, None if float_ is None else value(float_), value(int8), over)

    def over(name: str) -> float | None:
        return getattr(ratio, name) if ratio else None

    pictures = f"{int8.accuracy.pictures} {int8.accuracy.split} pictures"
    if int8.accuracy.device_top1 is None:
        yield figure(
            f"agreement with float %, {pictures}", 2, lambda model: _percent(model.accuracy.device_float_agreement)
        )
    else:
        yield figure(f"top-1 %, {pictures}", 2, lambda model: _percent(model.accuracy.device_top1))
        yield figure("top-5 %", 2, lambda model: _percent(model.accuracy.device_top5))
    yield figure("bytes", 0, lambda model: model.bytes, over("bytes"))
    if int8.instructions is not None:
        yield figure("instructions per picture", 0, lambda model: model.instructions, over("instructions"))
    if int8.packed_bytes is not None:
        yield figure("bytes of the packed file", 0, lambda model: model.packed_bytes)
    yield figure(f"load, ms{mark}", 1, lambda model: model.timing[0].load_ms, over("load_ms"))
    if int8.packed_bytes is not None:
        yield figure(f"of it to expand the packed file, ms{mark}", 1, _expanding)
    yield figure(f"first run, ms{mark}", 3, lambda model: model.timing[0].first_ms)
    for place, timing in enumerate(int8.timing):
        median = functools.partial(_median, place)
        yield figure(f"median, {threads(timing.threads)}, ms{mark}", 3, median, ratios.get(timing.threads))
    if int8.long_timing is not None:
        name = (
            f"90th percentile, slowest of {len(int8.long_timing.tries)} tries, {threads(int8.long_timing.threads)}, ms"
        )
        yield figure(name, 3, _long, over("long_ms"))
    memory = f"peak memory, MB{mark}"
    yield figure(memory, 1, lambda model: _megabytes(model.timing[0]), over("peak_memory_bytes"))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _expanding(model: ModelReport) -> float | None:
    return None if model.packed_bytes is None else model.timing[0].expand_ms


def _median(place: int, model: ModelReport) -> float:
    return model.timing[place].median_ms


def _long(model: ModelReport) -> float | None:
    return None if model.long_timing is None else model.long_timing.p90_ms


def _rules(report: DeviceReport) -> Iterator[str]:
    """Yield how long the device was timed, and what the tries of a long timing were."""
    if report.models.int8.long_timing is None:
        if not report.device.emulated:
            yield (
                f"short timing: {report.models.int8.timing[0].runs} runs, which do not show how far heat slows the "
                "device down (device.rules)"
            )
        return
    for name, model in report.models.named.items():
        long = model.long_timing
        if long is not None:
            yield (
                f"{name} by {long.rules}: tries of at least {long.min_runs:,} runs and {long.min_seconds:g} s, "
                f"{long.pause_seconds:g} s apart; 90th percentiles "
                f"{', '.join(f'{one.p90_ms:.3f}' for one in long.tries)} ms; spread {long.spread_percent:.1f} %, "
                f"{'stable' if long.stable else 'not stable'} (up to {long.max_spread_percent:g} %)"
            )


def _conditions(report: DeviceReport) -> Iterator[str]:
    yield from _rules(report)
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
