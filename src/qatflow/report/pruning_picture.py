"""The sensitivities of filter pruning, drawn by Matplotlib, which only these pages wait for."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from qatflow.pruning.sensitivity import Sensitivity
from qatflow.report.pictures import save
from qatflow.report.pruning import Pruning


def sensitivity_pictures(steps: Sequence[Pruning], folder: Path) -> dict[str, Path]:
    """Draw the sensitivities of each step that has some; return the SVG files in `folder` by title."""
    return {title: path for step in steps for title, path in _drawn(step, folder)}


def sensitivity_picture(sensitivities: Mapping[str, Sensitivity], pruned: Mapping[str, float], output: Path) -> None:
    """Draw one row per group: the loss in top-1 at each ratio, as colour and number, and the ratio that was removed.

    Args:
        sensitivities: sensitivities by group, all for the same ratios.
        pruned: fraction of units removed, by group.
        output: SVG file to write.
    """
    names = list(sensitivities)
    ratios = next(iter(sensitivities.values())).ratios
    points = 100 * np.asarray([sensitivities[name].losses for name in names])
    figure = Figure(figsize=(3.5 + 0.65 * len(ratios), max(2.5, 1.2 + 0.24 * len(names))), layout="constrained")
    axes = figure.subplots()
    worst = max(float(points.max()), 1.0)
    image = axes.imshow(points, cmap="YlOrRd", vmin=0, vmax=worst, aspect="auto")
    figure.colorbar(image, label="points of top-1 lost")
    for (row, column), lost in np.ndenumerate(points):
        colour = "white" if lost > 0.6 * worst else "black"
        axes.text(column, row, f"{lost:.1f}", ha="center", va="center", fontsize=7, color=colour)
    # the middle of a column is its ratio; half a column left of the first is 0
    at = np.interp([pruned.get(name, 0.0) for name in names], [0, *ratios], [-0.5, *range(len(ratios))])
    axes.plot(at, range(len(names)), "|", color="#225588", markersize=11, markeredgewidth=2.5, label="pruned")
    axes.set_xticks(range(len(ratios)), [f"{100 * ratio:g} %" for ratio in ratios])
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="share of the layer's channels pruned alone")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.0), framealpha=0.8)
    save(figure, output)


def _drawn(step: Pruning, folder: Path) -> Iterator[tuple[str, Path]]:
    # ratios given in the compress YAML may differ from the measured ones, but one picture has one row of ratios
    for number, ratios in enumerate(Counter(sensitivity.ratios for sensitivity in step.sensitivities.values())):
        path = folder / f"sensitivities-{step.epoch}-{number}.svg"
        alike = {name: sensitivity for name, sensitivity in step.sensitivities.items() if sensitivity.ratios == ratios}
        sensitivity_picture(alike, step.ratios, path)
        yield f"Sensitivities before epoch {step.epoch}{f', given ({number})' if number else ''}", path
