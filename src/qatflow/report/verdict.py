"""The answer in one sentence, and four figures that it rests on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qatflow.base.measure import ACCURACY, Measure, share
from qatflow.base.metrics import wilson
from qatflow.device.results.report import DeviceReport
from qatflow.report.at_fault import OperatorAtFault
from qatflow.report.change import Change, signed, times
from qatflow.report.gates import AGREEMENTS, NAMES, GateLine, closed_reasons
from qatflow.tflite.precision import INT8, Precision

Mood = Literal["good", "unsure", "bad", "plain"]


@dataclass(frozen=True)
class Tile:
    """A figure of the first screen.

    Attributes:
        name: what it is.
        value: the figure with its unit.
        about: what it is compared with, and where it was measured; a line each.
        mood: how to colour it.
    """

    name: str
    value: str
    about: tuple[str, ...]
    mood: Mood = "plain"


@dataclass(frozen=True)
class Verdict:
    """The first screen.

    Attributes:
        sentence: the answer.
        mood: `good` where the model ships, `unsure` where too few pictures tell what it loses to float, `bad` where
            it does not ship.
        tiles: accuracy (or agreement with float), size, speed, and agreement of device and host.
    """

    sentence: str
    mood: Mood
    tiles: tuple[Tile, ...]


def verdict(
    shipped: str,
    models: Mapping[str, Any],
    gates: Sequence[GateLine],
    devices: Sequence[DeviceReport],
    packed_bytes: int | None = None,
    quantised: Precision = INT8,
    measure: Measure = ACCURACY,
    culprits: Sequence[OperatorAtFault] = (),
) -> Verdict:
    """Return the first screen.

    Args:
        shipped: the model that goes to the device: `ptq`, `qat` or `ready`.
        models: those of evaluation.json, by name.
        gates: all of them.
        devices: the device runs; none if the gate before them is closed.
        packed_bytes: size of the packed file; None if there is none.
        quantised: widths of the model that ships.
        measure: of evaluation.json.
        culprits: operators at fault where int8 is not faster, of which the sentence names the costliest.
    """
    int8, float_ = models[shipped], models.get("float")
    change = Change.of(int8["against_float"], "test", measure=measure) if float_ is not None else None
    name = "The ready model" if shipped == "ready" else _name(quantised)
    closed = "; ".join(closed_reasons(gates))
    gains = ", ".join(_gains(int8, float_, devices, change, culprits))
    if closed:
        sentence, mood = f"{name} does not ship: {closed}.", "bad"
    elif any(line.state == "undecided" and line.name in (NAMES["max_drop"], AGREEMENTS["max_drop"]) for line in gates):
        sentence, mood = f"{name} ships, but there are too few pictures to be sure: {gains}.", "unsure"
    else:
        sentence, mood = f"{name} ships: {gains}.", "good"
    size = _size(int8, float_, packed_bytes)
    tiles = (_accuracy(int8, float_, change), size, _speed(int8, float_, devices), _parity(devices))
    return Verdict(sentence, mood, tiles)  # type: ignore[arg-type]


def _name(quantised: Precision) -> str:
    return "int8" if quantised == INT8 else f"The model with {quantised.words.replace(', ', ' and ')}"


def _gains(
    int8: Mapping[str, Any],
    float_: Mapping[str, Any] | None,
    devices: Sequence[DeviceReport],
    change: Change | None,
    culprits: Sequence[OperatorAtFault],
) -> Iterator[str]:
    if float_ is None or change is None:
        low, high = _interval(int8)
        yield f"{100 * int8['top1']:.1f} % top-1 (95 %: {low:.1f} … {high:.1f})"
        yield f"{int8['bytes']:,} bytes"
        return
    yield times(float_["bytes"] / int8["bytes"], "smaller", "larger")
    ratio = devices[0].ratio if devices else None
    if ratio is not None and ratio.latency is not None:
        of_device = [one for one in culprits if one.device == devices[0].device.name and ratio.latency <= 1]
        yield f"{times(ratio.latency, 'faster', 'slower')} on {devices[0].device.name}{_at_fault(of_device)}"
    elif ratio is not None and ratio.instructions is not None:
        of_device = [one for one in culprits if one.device == devices[0].device.name]
        yield f"{times(ratio.instructions, 'fewer instructions', 'more instructions')}{_at_fault(of_device)}"
    if change.from_full_agreement:
        low, high = _interval(int8)
        yield f"{100 * share(int8):.1f} % {change.measure.name} (95 %: {low:.1f} … {high:.1f})"
        return
    interval = f"95 %: {signed(change.low, 1)} … {signed(change.high, 1)}"
    yield f"{signed(change.points, 1)} points of top-1 ({interval})"


def _at_fault(found: Sequence[OperatorAtFault]) -> str:
    return f" (at fault: {found[0].layer}, {found[0].kernel})" if found else ""


def _interval(model: Mapping[str, Any]) -> tuple[float, float]:
    low, high = wilson(round(share(model) * model["pictures"]), model["pictures"])
    return 100 * low, 100 * high


def _accuracy(int8: Mapping[str, Any], float_: Mapping[str, Any] | None, change: Change | None) -> Tile:
    low, high = _interval(int8)
    about = [f"95 %: {low:.1f} … {high:.1f}, on {int8['pictures']:,} test pictures"]
    if change is not None and change.from_full_agreement:
        about.append("no labels: the float model's answers serve as labels")
        return Tile(change.measure.name, f"{100 * share(int8):.2f} %", tuple(about))
    if float_ is not None and change is not None:
        about.append(f"float {100 * float_['top1']:.2f} %")
        about.append(f"change {signed(change.points)} points ({signed(change.low)} … {signed(change.high)})")
    return Tile("top-1", f"{100 * int8['top1']:.2f} %", tuple(about))


def _size(int8: Mapping[str, Any], float_: Mapping[str, Any] | None, packed_bytes: int | None) -> Tile:
    about = [f"{int8['bytes']:,} bytes; {kilobytes(int8['compressed_bytes'])} as a download"]
    if packed_bytes is not None:
        about.append(f"packed {kilobytes(packed_bytes)}, {packed_bytes / int8['bytes']:.2f} of the bytes")
    if float_ is not None:
        about.append(
            f"float {kilobytes(float_['bytes'])}, {times(float_['bytes'] / int8['bytes'], 'smaller', 'larger')}"
        )
    return Tile("size", kilobytes(int8["bytes"]), tuple(about))


def _speed(int8: Mapping[str, Any], float_: Mapping[str, Any] | None, devices: Sequence[DeviceReport]) -> Tile:
    if not devices:
        host, about = int8["host_ms"]["median"], ["median on this computer, not on a device"]
        if float_ is not None:
            about.append(f"float {float_['host_ms']['median']:.3f} ms")
        return Tile("latency", f"{host:.3f} ms", tuple(about))
    report = devices[0]
    model, timing = report.models.int8, report.models.int8.timing[0]
    reference = report.models.float
    if timing.emulated and model.instructions is not None:
        about = [f"for one picture, counted in {report.device.name}"]
        if reference is not None and reference.instructions is not None:
            ratio = reference.instructions / model.instructions
            about.append(f"float {millions(reference.instructions)}, {times(ratio, 'fewer', 'more')}")
        return Tile("instructions", millions(model.instructions), tuple(about))
    about = [f"{model.latency_words} on {report.device.name}"]
    if reference is not None:
        ratio = reference.latency_ms / model.latency_ms
        about.append(f"float {reference.latency_ms:.3f} ms, {times(ratio, 'faster', 'slower')}")
    if timing.emulated:
        about.append("emulated: this says nothing about a real device")
    return Tile("latency", f"{model.latency_ms:.3f} ms", tuple(about))


def _parity(devices: Sequence[DeviceReport]) -> Tile:
    if not devices:
        return Tile("device and host", "not run", ("the gate before it is closed",), "bad")
    equal = [run.models.int8.agreement for run in devices]
    pictures = sum(result.pictures for result in equal)
    where = ", ".join(run.device.name for run in devices)
    if all(result.bit_equal or (result.integer_part and result.integer_part.bit_equal) for result in equal):
        about = f"every integer of {pictures:,} pictures on {where} and on the host"
        return Tile("device and host", "same bits", (about,), "good")
    worst = max(equal, key=lambda result: result.largest_difference)
    about = f"largest difference on {pictures:,} pictures, allowed {worst.tolerance:.3g}; {where}"
    return Tile("device and host", f"{worst.largest_difference:.3g} {worst.unit}".strip(), (about,), "good")


def kilobytes(number: int) -> str:
    """Return a size in kB or MB (10³ and 10⁶ bytes) with three digits."""
    return f"{number / 1e6:.3g} MB" if number >= 1e6 else f"{number / 1e3:.3g} kB"


def millions(number: float) -> str:
    """Return a count with three digits: `498 thousand`, `2.97 million`."""
    if number >= 1e9:
        return f"{number / 1e9:.3g} billion"
    return f"{number / 1e6:.3g} million" if number >= 1e6 else f"{number / 1e3:.3g} thousand"
