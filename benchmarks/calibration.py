"""The calibration methods and the grid of what cannot be negative, on ImageNet weights and on Fashion-MNIST.

MobileNetV1 0.75 has Keras' own weights (DATA, as in imagenet_weights.py): ranges from 200 pictures of imagenet_sample,
one epoch over all of it for the rows that are trained, top-1 on the 500 pictures of nips17. The default network is
trained on Fashion-MNIST here, calibrated on 200 pictures, trained for int8 for one epoch, and evaluated on the 10,000
test pictures.

    PYTHONPATH=src:benchmarks python benchmarks/calibration.py DATA --work /tmp/calibration > benchmarks/calibration.md

Each finished row's predictions are kept in WORK, so an interrupted run continues with the next one.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from calibrated import calibrated, tflite
from experiments import Experiment, experiment, prepared
from heading import heading
from imagenet_weights import BATCH, normalised, pictures, training_step
from qatflow.base.metrics import paired_drop
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.graph.graph import Graph
from qatflow.quantisation.placement import QuantSettings
from qatflow.training.runtime import start

METHODS = get_args(CalibrationMethod)
TYPES = (8, 8, "channel_wise_abs_max", "moving_average_abs_max")
TRAINED: tuple[CalibrationMethod, ...] = ("max", "mse")
"""Methods from which training starts."""
CALIBRATION = 200
FLOAT, PADDLE = "float", "PaddleSlim's grid (full_range: false), max"
EPOCHS = (3, 1)
"""On Fashion-MNIST: in float, and for int8."""


@dataclass(frozen=True)
class Network:
    """A float network, its pictures, and how it is trained for int8.

    Attributes:
        graph: in float.
        chosen: calibration pictures, float32 [n, height, width, channels].
        held_out: pictures that top-1 is measured on.
        labels: of these, int [n].
        trained: returns the .tflite that training for int8 ends with.
    """

    graph: Graph
    chosen: np.ndarray
    held_out: np.ndarray
    labels: np.ndarray
    trained: Callable[[QuantSettings], bytes]

    def rows(self) -> dict[str, Callable[[], bytes]]:
        """Return what makes the model of each row of the table."""
        from qatflow.ptq.quantise import quantise
        from qatflow.tflite.lower import convert

        before = convert(self.graph).content
        paddle = QuantSettings(*TYPES, full_range=False, calibration_method="max")
        own = {method: QuantSettings(*TYPES, calibration_method=method) for method in METHODS}
        return {
            FLOAT: lambda: before,
            **{f"PTQ, {method}": partial(quantise, before, self.chosen, method=method) for method in METHODS},
            f"calibrated, {PADDLE}": partial(self._calibrated, paddle),
            **{f"calibrated, {method}": partial(self._calibrated, settings) for method, settings in own.items()},
            f"trained, {PADDLE}": partial(self.trained, paddle),
            **{f"trained, {method}": partial(self.trained, own[method]) for method in TRAINED},
        }

    def _calibrated(self, settings: QuantSettings) -> bytes:
        return tflite(*calibrated(self.graph, settings, in_batches(self.chosen)))


def in_batches(values: np.ndarray) -> list[np.ndarray]:
    """Return an array in batches."""
    return [values[first : first + BATCH] for first in range(0, len(values), BATCH)]


def imagenet(data: Path) -> Network:
    """Return MobileNetV1 0.75 with Keras' ImageNet weights."""
    import tensorflow as tf

    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.pretrained.keras_weights import load_weights

    keras = mobilenet_v1((224, 224, 3), 1000, 0.75, 0.001)
    load_weights(keras, data / "weights" / "mobilenet_7_5_224_tf.h5", "MobileNetV1")
    graph = graph_of(keras)
    held_out, labels = pictures(data / "nips17")
    train, train_labels = pictures(data / "imagenet_sample")
    order = np.random.default_rng(0).permutation(len(train))
    chosen = normalised(train[order[:CALIBRATION]])

    def trained(settings: QuantSettings) -> bytes:
        quantisers, model = calibrated(graph, settings, in_batches(chosen))
        step = training_step(model.keras)
        for batch in in_batches(order):
            step(tf.constant(normalised(train[batch])), tf.constant(train_labels[batch]))
        return tflite(quantisers, model)

    return Network(graph, chosen, normalised(held_out), labels, trained)


def fashion(work: Path) -> Network:
    """Return the default network, trained on Fashion-MNIST."""
    from qatflow.compress.compressor import Compressor
    from qatflow.config.recipe.recipe import CompressConfig
    from qatflow.data.manifest import FILE
    from qatflow.data.reader import calibration, tensors
    from qatflow.graph.store import load
    from qatflow.pretrained.prepare import WeightsSource, prepare
    from qatflow.tflite.lower import convert

    wanted = experiment("fashion", *EPOCHS)
    data, config = prepared(wanted.config, work / "data"), wanted.config
    if not (work / "pretrained").is_dir():
        source = WeightsSource(None, own=False, train=True)
        train = config.pretrained.train
        prepare(source, config.model, train, data.folder / FILE, work / "pretrained", work / "state", 1, 2)
    graph = load(work / "pretrained")

    def trained(settings: QuantSettings) -> bytes:
        folder = work / f"trained-{settings.calibration_method}-{settings.full_range}"
        folder.mkdir(exist_ok=True)
        recipe: CompressConfig = _as(wanted, settings)
        return convert(Compressor(graph, data, config.compress, recipe, 1).run(folder).graph).content

    return Network(graph, calibration(data, CALIBRATION), *tensors(data, "test"), trained)


def _as(wanted: Experiment, settings: QuantSettings) -> Any:
    recipe = wanted.quantised_as(settings.weight_quantize_type, settings.activation_quantize_type)
    own = {"full_range": settings.full_range, "calibration_method": settings.calibration_method}
    strategies = {name: strategy.model_copy(update=own) for name, strategy in recipe.strategies.items()}
    return recipe.model_copy(update={"strategies": strategies})


def predictions(network: Network, folder: Path) -> dict[str, np.ndarray]:
    """Return the predicted classes of each row, int [n]; those in the folder are not computed again."""
    from qatflow.tflite.run import Model

    found = {}
    for name, make in network.rows().items():
        path = folder / f"{name.replace(' ', '_')}.npy"
        if not path.is_file():
            np.save(path, Model(make(), threads=2).outputs(network.held_out).argmax(axis=1))
        found[name] = np.load(path)
        print(f"{folder.name}: {name}: {100 * (found[name] == network.labels).mean():.2f}", file=sys.stderr, flush=True)
    return found


def table(found: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
    """Return the lines of a table: each row against float, and against `max` of its kind."""
    lines = ["| model | top-1 % | loss against float | loss against max | as float % |", "|---|---|---|---|---|"]
    for name, predicted in found.items():
        base = found.get(f"{name.split(',')[0]}, max")
        cells = [f"{100 * (predicted == labels).mean():.2f}"]
        for reference in (found[FLOAT], base):
            same = reference is None or reference is predicted
            drop = None if same else paired_drop(reference, predicted, labels)
            cells.append("" if drop is None else f"{drop.points:+.2f} ({drop.low:+.2f} … {drop.high:+.2f})")
        cells.append(f"{100 * (predicted == found[FLOAT]).mean():.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure what is missing, and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of weights and pictures, as for imagenet_weights.py")
    parser.add_argument("--work", type=Path, required=True, help="folder of data, models and results; kept")
    arguments = parser.parse_args()
    start(seed=0, threads=2)
    networks = {
        "MobileNetV1 0.75, 224, Keras' ImageNet weights": ("imagenet", lambda _: imagenet(arguments.data)),
        "The default network on Fashion-MNIST": ("fashion", fashion),
    }
    print("# Calibration methods, and all integers for what cannot be negative\n")
    print("\n".join(heading()))
    print(f"* {CALIBRATION} calibration pictures; weights per channel; moving_average_abs_max, but for PTQ")
    print("* PTQ: ai-edge-quantizer; calibrated: ours before training; trained: ours after one epoch")
    print("* losses in percentage points with their paired 95 % intervals; below 0 is a gain")
    print("* as float: the same class as the float model")
    for title, (folder, load) in networks.items():
        work = arguments.work / folder
        work.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # what a training prints
            network = load(work)
            found = predictions(network, work)
        print(f"\n## {title}\n")
        print("\n".join(table(found, network.labels)), flush=True)


if __name__ == "__main__":
    main()
