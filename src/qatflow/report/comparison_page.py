"""The comparison as a plain-text table, as a picture of top-1 against cost, and as a self-contained HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from qatflow.report.comparison import Line, experiments, pareto
from qatflow.report.html import inline, render
from qatflow.report.pictures import save
from qatflow.report.table import aligned

HEAD = (
    "experiment", "ships", "float top-1 %", "top-1 %", "95 % interval", "drop, points", "95 % interval", "bytes",
    "host ms", "device ms", "instructions", "training s", "gate", "device",
)  # fmt: skip
NAMED = 12
"""With more points than this, only the unbeaten ones are named."""
TEMPLATE = "comparison_page.html"


@dataclass(frozen=True)
class Panel:
    """Top-1 against one cost.

    Attributes:
        cost: the field of a line that holds the cost.
        words: its name and unit.
        lines: the lines, each drawn as a point.
    """

    cost: str
    words: str
    lines: Sequence[Line]


def text(lines: Sequence[Line]) -> str:
    """Return the table as plain text, followed by the reasons for closed gates."""
    table = aligned([HEAD, *(cells(line) for line in lines)], left=(0, 1, len(HEAD) - 2, len(HEAD) - 1))
    closed = list(reasons(lines))
    return "\n".join([*table, *([""] if closed else []), *closed]) + "\n"


def reasons(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the reasons for closed gates, each with the experiment's name."""
    for line in lines:
        if not line.passed:
            yield f"{line.experiment}: {line.reason}"


def page(lines: Sequence[Line], picture: Path) -> str:
    """Return the page, with the SVG `picture` embedded."""
    return render(
        TEMPLATE,
        number=len(experiments(lines)),
        head=HEAD,
        rows=[(line, cells(line)) for line in lines],
        closed=list(reasons(lines)),
        picture=inline(picture),
    )


def panels(lines: Sequence[Line]) -> list[Panel]:
    """Return the panels: size and host latency of each experiment, and latency on each device that is not emulated."""
    once = experiments(lines)
    shown = [Panel("bytes", "bytes of the .tflite file", once), Panel("host_ms", "host latency, ms", once)]
    for device in dict.fromkeys(line.device for line in lines):
        timed = [line for line in lines if line.device == device and line.device_ms is not None]
        if timed:
            shown.append(Panel("device_ms", f"latency on {device}, ms", timed))
    return shown


def pareto_picture(lines: Sequence[Line], output: Path) -> None:
    """Draw top-1 against each cost as SVG: points with intervals, the unbeaten ones joined.

    Args:
        lines: the lines of the experiments, at least one.
        output: file to write.
    """
    shown = panels(lines)
    figure = Figure(figsize=(5.2 * len(shown), 4.2), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        front = pareto(panel.lines, panel.cost)
        top1 = [line.top1 for line in panel.lines]
        below = [line.top1 - line.top1_low for line in panel.lines]
        above = [line.top1_high - line.top1 for line in panel.lines]
        axes.errorbar(
            [getattr(line, panel.cost) for line in panel.lines], top1, yerr=[below, above],
            fmt="o", color="#4477aa", ecolor="#aabbcc",
        )  # fmt: skip
        axes.plot(
            [getattr(line, panel.cost) for line in front], [line.top1 for line in front],
            color="#aa7744", drawstyle="steps-post", label="unbeaten",
        )  # fmt: skip
        for line in panel.lines if len(panel.lines) <= NAMED else front:
            axes.annotate(
                line.experiment, (getattr(line, panel.cost), line.top1), xytext=(4, 4), textcoords="offset points",
                fontsize=7,
            )  # fmt: skip
        axes.set(xlabel=panel.words, ylabel="top-1 of the shipped model, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, output)


def cells(line: Line) -> tuple[str, ...]:
    """Return a line of the table: one text per column of `HEAD`."""
    return (
        line.experiment,
        line.shipped,
        _shown(line.float_top1, ".2f"),
        _shown(line.top1, ".2f"),
        _interval(line.top1_low, line.top1_high),
        _shown(line.drop, ".2f"),
        _interval(line.drop_low, line.drop_high),
        _shown(line.bytes, ","),
        _shown(line.host_ms, ".3f"),
        _shown(line.device_ms, ".3f"),
        _shown(line.instructions, ","),
        _shown(line.training_s, ".0f"),
        "undecided" if line.passed and line.undecided else "open" if line.passed else "closed",
        line.device,
    )


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2f} … {high:.2f}"
