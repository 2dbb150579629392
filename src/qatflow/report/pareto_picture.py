"""Top-1 against what it costs, for several experiments: each a point with its interval, the unbeaten ones joined."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from qatflow.report.comparison import Line, pareto
from qatflow.report.pictures import save

COSTS = {"bytes": "bytes of the .tflite file", "host_ms": "host latency, ms", "device_ms": "device latency, ms"}
NAMED = 12
"""Above as many points only the unbeaten ones are named."""


def costs(lines: Sequence[Line]) -> list[str]:
    """Return the costs that all experiments have a figure of."""
    return [cost for cost in COSTS if all(getattr(line, cost) is not None for line in lines)]


def pareto_picture(lines: Sequence[Line], output: Path) -> None:
    """Draw the picture as SVG, a panel a cost.

    Args:
        lines: the experiments, at least one.
        output: file to write.
    """
    shown = costs(lines)
    figure = Figure(figsize=(5.2 * len(shown), 4.2), layout="constrained")
    for axes, cost in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        front = pareto(lines, cost)
        places = [getattr(line, cost) for line in lines]
        below = [line.top1 - line.top1_low for line in lines]
        above = [line.top1_high - line.top1 for line in lines]
        axes.errorbar(
            places, [line.top1 for line in lines], yerr=[below, above], fmt="o", color="#4477aa", ecolor="#aabbcc"
        )
        axes.plot(
            [getattr(line, cost) for line in front], [line.top1 for line in front],
            color="#aa7744", drawstyle="steps-post", label="unbeaten",
        )  # fmt: skip
        for line in lines if len(lines) <= NAMED else front:
            axes.annotate(
                line.experiment, (getattr(line, cost), line.top1), xytext=(4, 4), textcoords="offset points", fontsize=7
            )
        axes.set(xlabel=COSTS[cost], ylabel="top-1 of the shipped model, %")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, output)
