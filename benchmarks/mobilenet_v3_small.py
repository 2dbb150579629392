"""MobileNetV3-Small on Fashion-MNIST: int8 against its own float model after the same number of epochs.

    ./run.sh all compare --configfile config/mobilenet_v3_small.yaml
    python benchmarks/mobilenet_v3_small.py > benchmarks/mobilenet_v3_small.md

The first command trains, and runs both models on the host and in the emulator. The second reads its results, in the
repository's root, and measures every model on all test pictures with LiteRT.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heading import heading
from qatflow.base.cli import entry
from qatflow.base.metrics import paired_drop, ranking, wilson
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import tensors
from qatflow.tflite.run import Model

INT8, FLOAT = "v3_small_int8", "v3_small_float"
MODELS = {
    "float, 6 + 2 epochs": (FLOAT, "float_opt"),
    "int8, 6 epochs in float + 2 for int8": (INT8, "opt"),
    "float, 6 epochs": (INT8, "float_opt"),
    "PTQ of float, 6 + 2 epochs": (FLOAT, "ptq"),
    "PTQ of float, 6 epochs": (INT8, "ptq"),
}
"""Experiment and kind of model of each row; the first is what the others are compared with."""
SETTINGS = (
    "* one seed; pictures of 28 × 28 padded to 32 × 32, since the network halves them five times; batches of 128; "
    "learning rate 0.1 in float and 0.005 for int8 (all defaults)"
)
AIM = 1.0
"""Points of top-1 that int8 may lose."""


def table(results: Path, data: Path) -> Iterator[str]:
    """Yield the lines of the table."""
    manifest = read_manifest(data)
    inputs, labels = tensors(manifest, "test")
    predicted, sizes = {}, {}
    for name, (experiment, kind) in MODELS.items():
        path = results / experiment / f"{experiment}_{kind}" / "model.tflite"
        predicted[name] = ranking(Model(path).outputs(inputs))[:, 0]
        sizes[name] = path.stat().st_size
    reference, int8 = list(MODELS)[:2]
    yield SETTINGS
    yield f"* {len(labels):,} test pictures; intervals are of 95 %, those of differences paired"
    yield ""
    yield "| model | top-1 % | interval | against the first, points | interval | bytes |"
    yield "|---|---|---|---|---|---|"
    drops = {}
    for name, classes in predicted.items():
        right = int((classes == labels).sum())
        low, high = wilson(right, len(labels))
        drop = drops[name] = paired_drop(predicted[reference], classes, labels)
        lost = ("", "") if name == reference else (f"{-drop.points:+.2f}", f"{-drop.high:+.2f} to {-drop.low:+.2f}")
        yield (
            f"| {name} | {100 * right / len(labels):.2f} | {100 * low:.2f} to {100 * high:.2f} | {lost[0]} | {lost[1]} "
            f"| {sizes[name]:,} |"
        )
    yield ""
    met = drops[int8].points <= AIM
    yield f"* int8 within {AIM} point of its float at equal epochs: {'yes' if met else 'no'} ({drops[int8].points:.2f})"
    yield from (f"* accuracy gate: {line}" for line in json.loads((results / INT8 / "gate.json").read_text())["said"])
    yield from _device(results / INT8)
    yield from _layers(results / INT8 / "layers.json")


def _device(experiment: Path) -> Iterator[str]:
    (path,) = experiment.glob("device/*/report.json")
    int8: dict[str, Any] = json.loads(path.read_text())["models"]["int8"]
    agreement = int8["agreement"]
    equal = "yes" if agreement["integer_part"]["bit_equal"] else "no"
    yield f"* the emulator computes the host's integers for {agreement['pictures']} validation pictures: {equal}"
    yield f"* instructions per inference on a Cortex-A76 in the emulator: {int8['instructions']:,}"


def _layers(path: Path) -> Iterator[str]:
    layers = json.loads(path.read_text())["layers"]
    ratios = np.asarray([layer["sqnr_db"] for layer in layers])
    worst = ", ".join(f"{layer['name']} ({layer['sqnr_db']:.1f})" for layer in layers[:4])
    yield f"* signal to quantisation noise of a layer: median {np.median(ratios):.1f} dB, the noisiest are {worst}"


def main(argv: Sequence[str]) -> None:
    """Print the table of a finished run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--data", type=Path, default=Path("data/fashion_mnist"))
    arguments = parser.parse_args(argv)
    lines = ["# MobileNetV3-Small on Fashion-MNIST", "", *heading()]
    print("\n".join([*lines, *table(arguments.results, arguments.data)]))


if __name__ == "__main__":
    entry(main)
