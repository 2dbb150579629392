"""Top-1 against what it costs, for several experiments: each a point with its interval, the unbeaten ones joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from qatflow.report.comparison import Line, experiments, pareto
from qatflow.report.pictures import save

NAMED = 12
"""Above as many points only the unbeaten ones are named."""


@dataclass(frozen=True)
class Panel:
    """Top-1 against one cost.

    Attributes:
        cost: the field of a line that has it.
        words: what it is, with its unit.
        lines: a point each.
    """

    cost: str
    words: str
    lines: Sequence[Line]


def panels(lines: Sequence[Line]) -> list[Panel]:
    """Return the panels: bytes and the host's latency of each experiment, and latency on each device that tells it."""
    once = experiments(lines)
    found = [Panel("bytes", "bytes of the .tflite file", once), Panel("host_ms", "host latency, ms", once)]
    for device in dict.fromkeys(line.device for line in lines):
        timed = [line for line in lines if line.device == device and line.device_ms is not None]
        if timed:
            found.append(Panel("device_ms", f"latency on {device}, ms", timed))
    return found


def pareto_picture(lines: Sequence[Line], output: Path) -> None:
    """Draw the picture as SVG.

    Args:
        lines: those of the experiments, at least one.
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
