"""What filter pruning did to a network, from trained/manifest.json: in words, as a table, and as pictures."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from qatflow.base.sums import read_sealed
from qatflow.graph.counts import Count
from qatflow.pruning.record import PrunedLayer
from qatflow.pruning.sensitivity import Sensitivity
from qatflow.report.pictures import save


@dataclass(frozen=True)
class Pruning:
    """One removal of channels.

    Attributes:
        epoch: the epoch before which channels were removed.
        metric: PaddleSlim's name of the accuracy on the validation pictures.
        metric_before: its value before, from 0 to 1.
        metric_after: its value after, before the smaller network was trained.
        before: multiply-adds and parameters of the network before.
        after: the same after.
        ratios: fraction of channels removed, by group of layers.
        layers: every layer with a kernel.
        sensitivities: sensitivities by group; none if all groups lost the same fraction.
    """

    epoch: int
    metric: str
    metric_before: float
    metric_after: float
    before: Count
    after: Count
    ratios: Mapping[str, float]
    layers: tuple[PrunedLayer, ...]
    sensitivities: Mapping[str, Sensitivity]

    def text(self) -> str:
        """Return the removal in one sentence."""
        adds, parameters = (
            f"{_millions(getattr(self.before, count))} → {_millions(getattr(self.after, count))} "
            f"(−{100 * (1 - getattr(self.after, count) / getattr(self.before, count)):.1f} %)"
            for count in ("multiply_adds", "parameters")
        )
        return (
            f"pruned before epoch {self.epoch}: multiply-adds {adds}, parameters {parameters}; {self.metric} on the "
            f"validation pictures {100 * self.metric_before:.2f} → {100 * self.metric_after:.2f} %, before training"
        )


def read_pruning(manifest: Path) -> tuple[Pruning, ...]:
    """Return the removals from the manifest.json next to a trained graph, in order."""
    return tuple(map(_pruning, read_sealed(manifest)["pruning"]))


def whole(steps: Sequence[Pruning]) -> tuple[PrunedLayer, ...]:
    """Return each layer before the first step and after the last."""
    if not steps:
        return ()
    last = {layer.layer: layer for layer in steps[-1].layers}
    return tuple(
        replace(first, channels_after=last[first.layer].channels_after, after=last[first.layer].after)
        for first in steps[0].layers
    )


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


def _pruning(step: Mapping[str, Any]) -> Pruning:
    values = {
        **step,
        "before": Count(**step["before"]),
        "after": Count(**step["after"]),
        "layers": tuple(
            PrunedLayer(**{**layer, "before": Count(**layer["before"]), "after": Count(**layer["after"])})
            for layer in step["layers"]
        ),
        "sensitivities": {
            name: Sensitivity(tuple(sensitivity["pruned_percent"]), tuple(sensitivity["loss"]))
            for name, sensitivity in step["sensitivities"].items()
        },
    }
    return Pruning(**values)


def _millions(number: int) -> str:
    return f"{number / 1e6:.3g} M"
