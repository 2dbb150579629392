"""Top-1 against cost: a point with its interval for each experiment, and a line through those that no other beats."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from qatflow.report.comparison import Differences, Line, by_more_than_noise, experiments, measure_of_all, pareto
from qatflow.report.drawing.chart import nice_ticks
from qatflow.report.drawing.labels import Box, Label, place
from qatflow.report.drawing.svg import line as stroke
from qatflow.report.drawing.svg import shortened, stacked, svg, text

WIDTH, HEIGHT = 470.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 28.0, 44.0
NAMED = 14
"""With more points than this, only those of the front are named."""
LONGEST = 22
LOGARITHMIC = 12.0
"""Costs that differ by more than this factor have a logarithmic axis."""
FAR, CLOSE = 3.0, 10.0
"""The axis leaves out what is this much further from the best than the median is, and more than so many points."""
OF_DEVICES = {"device_ms": "latency", "device_memory_bytes": "peak memory", "instructions": "instructions"}
"""Costs that each device has of its own, by the field of a line."""
UNITS = {
    "bytes": ((1e6, "MB"), (1e3, "kB")),
    "device_memory_bytes": ((1e6, "MB"), (1e3, "kB")),
    "instructions": ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")),
}


@dataclass(frozen=True)
class Panel:
    """Top-1 against one cost.

    Attributes:
        cost: the field of a line that holds the cost.
        words: what it is, without its unit.
        lines: the lines, each drawn as a point.
    """

    cost: str
    words: str
    lines: Sequence[Line]

    @property
    def unit(self) -> tuple[float, str]:
        """What the axis counts in, and its name."""
        largest = max(getattr(line, self.cost) for line in self.lines)
        units = UNITS.get(self.cost, ())
        return next((one for one in units if largest >= one[0]), (1.0, "ms" if self.cost.endswith("_ms") else ""))


def panels(lines: Sequence[Line]) -> list[Panel]:
    """Return the panels: size and host latency of each experiment; by device, latency and memory if they are not
    emulated, and instructions if they were counted.
    """
    once = experiments(lines)
    shown = [Panel("bytes", "size of the .tflite file", once), Panel("host_ms", "latency on the host", once)]
    for device in dict.fromkeys(line.device for line in lines):
        for cost, words in OF_DEVICES.items():
            known = [line for line in lines if line.device == device and getattr(line, cost) is not None]
            if known:
                shown.append(Panel(cost, f"{words} on {device}", known))
    return shown


def pareto_pictures(lines: Sequence[Line], known: Differences) -> list[tuple[str, str]]:
    """Return title and picture of each panel."""
    return [(panel.words, _picture(panel, known)) for panel in panels(lines)]


def pareto_file(lines: Sequence[Line], known: Differences) -> str:
    """Return the panels one below the other."""
    title = "Accuracy against cost" if measure_of_all(lines).is_accuracy else "Agreement with float against cost"
    return stacked(((WIDTH, HEIGHT, picture) for _, picture in pareto_pictures(lines, known)), title)


def _picture(panel: Panel, known: Differences) -> str:
    factor, unit = panel.unit
    costs = [getattr(line, panel.cost) / factor for line in panel.lines]
    across, cost_ticks = _axis(costs, LEFT + 18, WIDTH - RIGHT - 18)
    least = _least(panel.lines)
    seen = [line for line in panel.lines if line.top1 >= least]
    ticks = nice_ticks(min(line.top1_low for line in seen), max(line.top1_high for line in seen))

    def up(value: float) -> float:
        """Return where a top-1 is; one below the axis stands at its lower end."""
        share = max(0.0, (value - ticks[0]) / (ticks[-1] - ticks[0]))
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    front = pareto(panel.lines, panel.cost, by_more_than_noise(known))
    named = f"{panel.words}, {unit}" if unit else panel.words
    name = measure_of_all(panel.lines).name
    parts = list(_frame(ticks, up, cost_ticks, across, (named, f"{name}, %")))
    points = [(across(cost), up(line.top1)) for cost, line in zip(costs, panel.lines, strict=True)]
    parts += _steps([points[panel.lines.index(line)] for line in front], WIDTH - RIGHT)
    bars = []
    for (x, _), one in zip(points, panel.lines, strict=True):
        parts.append(stroke(x, up(one.top1_low), x, up(one.top1_high), "whisker"))
        bars.append(Box(x - 2, up(one.top1_high), x + 2, up(one.top1_low)))
    names = [
        shortened(one.experiment, LONGEST) + (f" ↓ {one.top1:.1f} %" if one.top1 < ticks[0] else "")
        if len(panel.lines) <= NAMED or one in front
        else ""
        for one in panel.lines
    ]
    labels = place(points, names, bars, Box(LEFT + 2, TOP + 1, WIDTH - RIGHT, HEIGHT - BOTTOM))
    for point, label in zip(points, labels, strict=True):
        if label is not None and label.led:
            parts.append(_leader(point, label))
    for (x, y), one, cost in zip(points, panel.lines, costs, strict=True):
        kind = "point" + (" unbeaten" if one in front else "") + ("" if one.passed else " barred")
        about = f"{one.experiment}: {one.top1:.2f} % ({one.top1_low:.2f} … {one.top1_high:.2f}), {cost:.4g} {unit}"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(about)}</title></circle>')
    for label in filter(None, labels):
        middle = (label.box.left + label.box.right) / 2
        parts.append(text(middle, label.box.bottom - 3, label.words, "halo", "middle"))
    words = "; ".join(
        f"{one.experiment}: {getattr(one, panel.cost) / factor:.4g} {unit}, {one.top1:.2f} %" for one in front
    )
    title = f"{name[0].upper()}{name[1:]} against {named}. Not beaten by more than noise: {words}"
    return svg(WIDTH, HEIGHT, title, parts, "pareto")


def _least(lines: Sequence[Line]) -> float:
    """Return the top-1 from which on the axis shows points in their place: it would be squeezed by far worse ones."""
    best = max(line.top1 for line in lines)
    return best - max(FAR * (best - median(line.top1 for line in lines)), CLOSE)


def _frame(
    ticks: Sequence[float],
    up: Callable[[float], float],
    costs: Sequence[float],
    across: Callable[[float], float],
    named: tuple[str, str],
) -> Iterator[str]:
    """Yield the axes; `named` are the words along the lower one and above the left one."""
    bottom = HEIGHT - BOTTOM
    yield text(LEFT, 14, named[1], "heading")
    for tick in ticks:
        yield stroke(LEFT, up(tick), WIDTH - RIGHT, up(tick), "grid")
        yield text(LEFT - 6, up(tick) + 4, f"{tick:.4g}", "tick", "end")
    for cost in costs:
        yield stroke(across(cost), bottom, across(cost), bottom + 4, "axis")
        yield text(across(cost), bottom + 17, f"{cost:.6g}", "tick", "middle")
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, named[0], "heading", "middle")


def _axis(costs: Sequence[float], left: float, right: float) -> tuple[Callable[[float], float], list[float]]:
    """Return where a cost is, and round numbers within the axis."""
    low, high = min(costs), max(costs)
    if low > 0 and high / low > LOGARITHMIC:
        ticks = [
            factor * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for factor in (1, 2, 5)
        ]
        span = math.log(high / low)
        return lambda cost: left + (right - left) * math.log(cost / low) / span, [
            round(tick, 12) for tick in ticks if low <= tick <= high
        ]
    if high == low:
        return lambda cost: (left + right) / 2, [low]
    ticks = nice_ticks(low, high)
    inner = [tick for tick in ticks if low - 0.05 * (high - low) <= tick <= high + 0.05 * (high - low)]
    return lambda cost: left + (right - left) * (cost - low) / (high - low), inner


def _steps(points: Sequence[tuple[float, float]], right: float) -> Iterator[str]:
    """Yield the front as steps: with a budget between two of its points, the cheaper one is the best there is."""
    if points:
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        path += "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:]) + f"H{right:.1f}"
        yield f'<path class="front" d="{path}"/>'


def _leader(point: tuple[float, float], label: Label) -> str:
    x = min(max(point[0], label.box.left), label.box.right)
    y = min(max(point[1], label.box.top), label.box.bottom)
    return stroke(*point, x, y, "leader")
