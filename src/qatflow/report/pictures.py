"""Learning curves, confusion matrix and ranges of layers as SVG; equal figures give equal bytes."""

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from qatflow.base.files import whole_file
from qatflow.base.metrics import confusion_matrix
from qatflow.base.sums import read_sealed
from qatflow.evaluate.layers import InspectedLayer
from qatflow.report.classes import NAMED

mpl.rcParams["svg.hashsalt"] = "qatflow"
CELLS = 100
"""A side of the picture of the confusion has at most so many."""


def learning_curves(histories: dict[str, Path], output: Path) -> None:
    """Draw loss and top-1 by epoch.

    Args:
        histories: history.csv of each training, by its name.
        output: SVG file to write.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, top1 = figure.subplots(1, 2)
    begin = 0
    for name, path in histories.items():
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        epochs = [begin + int(row["epoch"]) + 1 for row in rows]
        for split, style in (("train", "--"), ("validation", "-")):
            for axes, figure_name in ((loss, "loss"), (top1, "top1")):
                values = [float(row[f"{split}_{figure_name}"] or "nan") for row in rows]
                axes.plot(epochs, values, style, marker=".", label=f"{name}, {split}")
        begin += len(rows)
    for axes, label in ((loss, "cross entropy"), (top1, "top-1")):
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, output)


def confusion_picture(evaluation: Path, model: str, output: Path) -> None:
    """Draw the confusion matrix of a model in evaluation.json as SVG; numbers are counts of pictures.

    Of more than 100 classes, neighbouring ones share a cell, so that the picture stays small and can be read.
    """
    content = read_sealed(evaluation)
    labels = content["labels"]
    together = -(-len(labels) // CELLS)
    counts = _in_groups(confusion_matrix(content["models"][model]["confusion"], len(labels)), together)
    size = max(4.0, min(0.55 * len(labels), 14.0))
    figure = Figure(figsize=(size + 1.5, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    edge = len(counts) * together - 0.5
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, extent=(-0.5, edge, edge, -0.5))
    each = f", {together} classes a cell" if together > 1 else ""
    axes.set(xlabel=f"predicted{each}", ylabel=f"label{each}", title=model)
    if len(labels) <= NAMED:
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = counts[row, column] > 0.5 * counts[row].sum()
                axes.text(
                    column, row, str(count), ha="center", va="center", fontsize=7, color="white" if dark else "black"
                )
    save(figure, output)


def _in_groups(counts: np.ndarray, together: int) -> np.ndarray:
    """Return the sums over squares of so many labels and predictions; the last ones may have fewer."""
    begins = np.arange(0, len(counts), together)
    groups: np.ndarray = np.add.reduceat(np.add.reduceat(counts, begins, axis=0), begins, axis=1)
    return groups


def ranges_picture(layers: Sequence[InspectedLayer], output: Path) -> None:
    """Draw as SVG each layer's float range, the range of int8, and the ratio of signal to quantisation noise."""
    ordered = sorted(layers, key=lambda layer: layer.name)
    figure = Figure(figsize=(9, max(3.0, 0.22 * len(ordered))), layout="constrained")
    ranges, noise = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    places = np.arange(len(ordered))
    low = np.asarray([(-128 - layer.zero_point) * layer.scale for layer in ordered])
    high = np.asarray([(127 - layer.zero_point) * layer.scale for layer in ordered])
    ranges.barh(places, high - low, left=low, height=0.8, color="#dddddd", label="int8 can represent")
    least, greatest = (np.asarray([getattr(layer, end) for layer in ordered]) for end in ("float_low", "float_high"))
    ranges.barh(places, greatest - least, left=least, height=0.4, color="#4477aa", label="float")
    ranges.set_yticks(places, [layer.name for layer in ordered], fontsize=7)
    ranges.set(xlabel="value")
    ranges.legend(fontsize=8)
    noise.barh(places, [layer.sqnr_db for layer in ordered], color="#aa7744")
    noise.set(xlabel="SQNR, dB")
    ranges.invert_yaxis()
    save(figure, output)


def save(figure: Figure, output: Path) -> None:
    """Write the figure as SVG, whole or not at all; equal figures give equal bytes."""
    with whole_file(output) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
