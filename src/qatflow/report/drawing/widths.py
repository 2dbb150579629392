"""The curve of a choice of widths: bytes or latency against the divergence from float, predicted and measured."""

from math import log10

from qatflow.mixed_precision.record import ChosenWidths, Tried
from qatflow.report.drawing.svg import line, svg, text

WIDTH, HEIGHT = 560.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 16.0, 28.0, 40.0
LEAST = 1e-9


def widths_picture(choice: ChosenWidths) -> str:
    """Return the picture; both axes are logarithmic."""
    unit = choice.latency_unit
    words = "bytes of the kernels, packed" if unit is None else f"{unit} of an inference"
    sizes = [_size(one) for one in choice.curve]
    values = [log10(value) for one in choice.curve for value in (one.kl, one.predicted) if value > LEAST]
    low, high = min(values, default=0.0), max(values, default=1.0)
    span, least = (high - low) or 1.0, log10(max(min(sizes), LEAST))
    most = (log10(max(max(sizes), LEAST)) - least) or 1.0

    def at(size: float, value: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (log10(max(size, LEAST)) - least) / most
        share = (log10(max(value, 10**low)) - low) / span
        return across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [text(LEFT, 14, "KL divergence from float: measured (line), predicted (dashed)", "heading")]
    for kind, points in (
        ("line minor", [at(_size(one), one.predicted) for one in choice.curve if one.predicted > LEAST]),
        ("line main", [at(_size(one), one.kl) for one in choice.curve]),
    ):
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="{kind}" points="{drawn}"/>')
    for one in choice.curve:
        x, y = at(_size(one), one.kl)
        parts.append(f'<circle class="main dot" cx="{x:.1f}" cy="{y:.1f}" r="{5 if one.chosen else 2.5}"/>')
        if one.chosen:
            parts.append(line(x, TOP, x, HEIGHT - BOTTOM, "exported"))
    parts.append(line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    parts += [
        text(LEFT - 6, TOP + 8, f"{10**high:.2g}", "tick", "end"),
        text(LEFT - 6, HEIGHT - BOTTOM, f"{10**low:.2g}", "tick", "end"),
        text(LEFT, HEIGHT - 20, _number(min(sizes), unit), "tick"),
        text(WIDTH - RIGHT, HEIGHT - 20, _number(max(sizes), unit), "tick", "end"),
        text((LEFT + WIDTH) / 2, HEIGHT - 20, words, "tick", "middle"),
    ]
    return svg(WIDTH, HEIGHT, f"{words} against the divergence from float", parts, "widths")


def _number(size: float, unit: str | None) -> str:
    return f"{size:.4g}" if unit == "ms" else f"{size:,.0f}"


def _size(one: Tried) -> float:
    return one.bytes if one.latency is None else one.latency
