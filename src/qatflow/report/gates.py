"""The gates of an experiment, one line each: what was measured, the limit, whether it holds, and what to do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qatflow.base.measure import Measure, measure_in
from qatflow.device.results.device_gate import LimitOutcome
from qatflow.report.change import Change

GateState = Literal["passed", "undecided", "closed", "allowed", "not set"]
NAMES = {"max_drop": "accuracy against float", "worse_than_ptq": "accuracy against PTQ"}
AGREEMENTS = {"max_drop": "agreement with float", "worse_than_ptq": "agreement with float, against PTQ"}
"""The same without labels."""
AGAINST = {"max_drop": "float", "worse_than_ptq": "PTQ"}


@dataclass(frozen=True)
class GateLine:
    """A gate.

    Attributes:
        name: what it compares.
        state: `passed`, `closed`, `undecided` (there are too few pictures, and the model ships), `allowed` (above the
            limit, and the configuration lets it ship), or `not set`.
        measured: the figure in words.
        limit: the limit in words; empty if there is none.
        advice: what to do; empty where nothing is to be done.
    """

    name: str
    state: GateState
    measured: str
    limit: str
    advice: str

    @property
    def closed(self) -> bool:
        """Whether it keeps the model from shipping."""
        return self.state == "closed"


def gate_lines(gate: Mapping[str, Any], on_devices: Mapping[str, Sequence[LimitOutcome]]) -> tuple[GateLine, ...]:
    """Return the gates: those of accuracy first, then of size, then the limits of each device.

    Args:
        gate: gate.json.
        on_devices: what the device gate says of each device, by its name.
    """
    measure = measure_in(gate)
    lines = [_comparison(comparison, measure) for comparison in gate["comparisons"]]
    if gate["published"] is not None:
        lines.append(_published(gate["published"]))
    if not lines:
        drop = gate["against_float"]
        measured = "" if drop is None else Change.of(drop, "validation", measure=measure).text()
        name = "accuracy" if measure.is_accuracy else measure.name
        lines.append(GateLine(name, "not set", measured or "; ".join(gate["said"]), "", ""))
    sizes = gate["sizes"]
    lines += [_size(size, len(sizes) > 1) for size in sizes]
    for device, outcomes in on_devices.items():
        lines += [_on_device(device, outcome, len(on_devices) > 1) for outcome in outcomes]
    return tuple(lines)


def closed_reasons(lines: Sequence[GateLine]) -> Iterator[str]:
    """Yield measured figure and limit of each closed gate."""
    for line in lines:
        if line.closed:
            yield f"{line.measured}, and {line.limit}"


def _comparison(comparison: Mapping[str, Any], measure: Measure) -> GateLine:
    key = comparison["key"]
    change = Change.of(dict(comparison), "validation", AGAINST[key], measure)
    points = comparison["limit"]
    limit = f"the limit is {f'{100 - points:g} %' if change.from_full_agreement else _limit(points)} (accuracy.{key})"
    measured = f"{change.text()} on {change.pictures:,} validation pictures"
    name = (NAMES if measure.is_accuracy else AGREEMENTS)[key]
    return GateLine(name, _state(comparison), measured, limit, _advice(comparison))


def _limit(points: float) -> str:
    return f"−{points:g} point{'' if points == 1 else 's'}" if points else "0"


def _state(comparison: Mapping[str, Any]) -> GateState:
    if comparison["closes"]:
        return "closed"
    if comparison["verdict"] == "within":
        return "passed"
    return "allowed" if comparison["allowed"] else "undecided"


def _advice(comparison: Mapping[str, Any]) -> str:
    state, more = _state(comparison), comparison["more_pictures"]
    decide = (
        f"about {more:,} more validation pictures (data.validation) would decide"
        if more
        else "the figure is so close to the limit that no number of pictures would decide"
    )
    if state == "undecided":
        return _sentence(decide)
    if state == "closed":
        first = f"{decide}; or " if comparison["verdict"] == "undecided" else ""
        return _sentence(f"{first}{comparison['remedy']}")
    return ""


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}." if words else ""


def _published(held_to: Mapping[str, Any]) -> GateLine:
    closes = held_to["closes"]
    advice = "Look at data.preprocessing, the order of the labels, and drop_background." if closes else ""
    return GateLine(
        "accuracy against the published figure",
        "closed" if closes else "passed",
        f"{held_to['measured_top1']:.2f} % top-1 on {held_to['pictures']:,} validation pictures",
        f"published is {held_to['top1']:g} %, and the limit {held_to['tolerance']:g} points (and chance) below it",
        advice,
    )


def _size(size: Mapping[str, Any], named: bool) -> GateLine:
    return GateLine(
        f"size for {size['device']}" if named else "size",
        "closed" if size["closes"] else "passed",
        f"{size['bytes']:,} bytes of model.tflite",
        f"the limit is {size['limit']:,} bytes (device.max_bytes)",
        _sentence(size["remedy"]),
    )


def _on_device(device: str, outcome: LimitOutcome, named: bool) -> GateLine:
    name = f"{outcome.name} on {device}" if named else outcome.name
    measured = f"{outcome.measured_words}{' (emulated)' if outcome.emulated else ''}"
    if outcome.limit is None:
        advice = "" if outcome.emulated else f"Set device.{outcome.key} to hold it to a limit."
        return GateLine(name, outcome.state, measured, "", advice)
    limit = f"the limit is {outcome.limit_words} (device.{outcome.key})"
    return GateLine(name, outcome.state, measured, limit, _sentence(outcome.remedy))
