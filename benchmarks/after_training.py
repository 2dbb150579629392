"""Quantisation after training, step by step, on Keras' ImageNet weights of MobileNetV1 0.75; training from the same.

DATA is as for imagenet_weights.py. Ranges, rounding and corrections are from 200 pictures of imagenet_sample, without
labels; top-1 is on the 500 pictures of nips17. Rows named QAT train one epoch over all of imagenet_sample, with frozen
batch-norm, after the labels or, distilled, after the float model's outputs alone. "from PTQ" they start from the graph
that is best after training. They take long and are measured only where --only names them. Below 8 bits the first and
the last layer have 8.

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=src:benchmarks python benchmarks/after_training.py DATA --work /tmp/ptq \\
        > benchmarks/after_training.md

Each finished row's predictions are kept in WORK: an interrupted run continues with the next row, and rows of several
runs with --only are in one table.
"""

import argparse
import json
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

from heading import heading
from imagenet_weights import BATCH, RATE, normalised, pictures
from model_costs import instructions, milliseconds
from qatflow.base.metrics import paired_drop
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.config.recipe.recipe import LEARNED, ActivationType, FirstScale, WeightType
from qatflow.config.sections.ptq import PtqSection
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.packing import pack
from qatflow.training.runtime import start

FLOAT = "float"
CALIBRATION, SEED = 200, 1
WEIGHTS, ACTIVATIONS = "channel_wise_abs_max", "moving_average_abs_max"
STEPS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("min/max", {}),
    ("MSE scales", {"weight_range": "mse"}),
    ("MSE scales, bias correction", {"weight_range": "mse", "bias_correction": True}),
    ("MSE scales, batch-norm re-estimated", {"weight_range": "mse", "batch_norm": "reestimate"}),
    ("MSE scales, AdaRound", {"weight_range": "mse", "rounding": "adaround"}),
    ("MSE scales, AdaRound, bias correction", {"weight_range": "mse", "rounding": "adaround", "bias_correction": True}),
    (
        "MSE scales, AdaRound, batch-norm re-estimated",
        {"weight_range": "mse", "rounding": "adaround", "batch_norm": "reestimate"},
    ),
    ("MSE scales, batch-norm matched", {"weight_range": "mse", "batch_norm": "match"}),
    (
        "MSE scales, AdaRound, batch-norm matched",
        {"weight_range": "mse", "rounding": "adaround", "batch_norm": "match"},
    ),
)
"""What is done with the graph after training, from little to much."""
BEST = "MSE scales, AdaRound, batch-norm matched"
"""Where the rows "from PTQ" begin to train."""
STARTS = {"W8A8": ("float",), "W6A8": ("float", "PTQ"), "W4A8": ("PTQ",)}
"""What training begins from, by width. From float, W4A8 has lost everything when it begins."""
LAYERS = ("conv1", *(f"conv_{kind}_{number}" for number in range(1, 14) for kind in ("dw", "pw")), "conv_preds")
"""In the order of execution."""
CHOSEN = (6, 6, 8, 8, 8, 8, 8, 6, 6, 8, 6, 5, 6, 8, 5, 6, 5, 8, 6, 6, 6, 8, 8, 6, 6, 5, 5, 4)
"""The bits of each layer that auto_bits found for the bytes of W4A8 (auto_bits.md)."""
WIDTHS: dict[str, int | dict[str, int]] = {
    "W8A8": 8,
    "W6A8": 6,
    "W4A8": 4,
    "W4A8, depthwise at 8": {"default": 4, "conv_dw": 8},
    "auto_bits, bytes of W4A8": {
        "default": 8,
        **{rf"{layer}\b": bits for layer, bits in zip(LAYERS, CHOSEN, strict=True)},
    },
}
"""weight_bits by the name in the table. Depthwise kernels are 1.3 % of the weights."""
TYPES = (
    *((WEIGHTS, activations) for activations in get_args(ActivationType)),
    *((weights, ACTIVATIONS) for weights in get_args(WeightType) if weights != WEIGHTS),
    ("channel_wise_lsq", "lsq"),
)
"""Of weights and activations, for the rows that train: each type with the default of the other, and lsq twice."""
RATES = {"labels": RATE, "distilled": 10 * RATE}
"""By what training follows: the gradients towards the float model's outputs are smaller than those of labels."""

COSTS = "costs.json"
"""File in WORK: milliseconds and instructions by row."""
REPEATS = 4
"""Inferences of each model in a round of the timing."""
COLUMNS = (
    "model", "top-1 %", "loss against float", "as float %", "CPU seconds", "bytes", "deflated", "packed", "ms",
    "instructions",
)  # fmt: skip

Row = Callable[[], bytes]


def log(line: str) -> None:
    """Print a line that is no part of the table."""
    print(line, file=sys.stderr, flush=True)


class Rows:
    """The rows of the table: what makes the model of each."""

    def __init__(self, data: Path, work: Path):
        start(seed=0, threads=1)
        self.data = data
        self.work = work
        self._float: Graph | None = None
        self._train: tuple[np.ndarray, np.ndarray] | None = None

    def named(self) -> dict[str, Row]:
        """Return the rows by name, those that train last."""
        methods = get_args(CalibrationMethod)
        rows: dict[str, Row] = {FLOAT: self._float_model}
        rows |= {f"PTQ W8A8, ai-edge-quantizer, {method}": partial(self._by_tool, method) for method in methods}
        rows |= {f"PTQ W8A8, {method}": partial(self._after, "W8A8", method, {}) for method in methods}
        rows |= {f"PTQ W8A8, max, {name}": partial(self._after, "W8A8", "max", own) for name, own in STEPS[1:]}
        for width in ("W4A8", "W4A8, depthwise at 8"):
            rows |= {f"PTQ {width}, {name}": partial(self._after, width, "mse", own) for name, own in STEPS}
        for width in ("W6A8", "auto_bits, bytes of W4A8"):
            rows[f"PTQ {width}, {BEST}"] = partial(self._after, width, "mse", dict(STEPS)[BEST])
        for width, (weights, activations), loss in product(STARTS, TYPES, RATES):
            for begin in STARTS[width]:
                name = f"QAT {width} from {begin}, {weights}, {activations}, {loss}"
                rows[name] = partial(self._trained, width, weights, activations, loss, begin)
        return rows

    def _float_model(self) -> bytes:
        from qatflow.tflite.lower import convert

        return convert(self.graph).content

    def _by_tool(self, method: CalibrationMethod) -> bytes:
        from qatflow.ptq.quantise import quantise

        return quantise(self._float_model(), self.chosen, method=method)

    def _after(self, width: str, method: CalibrationMethod, own: Mapping[str, Any]) -> bytes:
        from qatflow.tflite.lower import convert

        return convert(self.quantised(width, method, own)).content

    def quantised(self, width: str, method: CalibrationMethod, own: Mapping[str, Any]) -> Graph:
        """Return the graph quantised after training."""
        from qatflow.ptq.graph import quantise_graph
        from qatflow.trial.pictures import PicturesInMemory

        name = "-".join([width.replace(", ", "-").replace(" ", "-"), method, *(str(value) for value in own.values())])
        folder = self.work / f"quantised-{name}"
        if not folder.is_dir():
            settings = QuantSettings(WIDTHS[width], 8, WEIGHTS, ACTIVATIONS, calibration_method=method)
            section = PtqSection.model_validate({"tool": "qatflow", **own})
            pictures = PicturesInMemory(self.chosen)
            save(quantise_graph(self.graph, settings, section, pictures, SEED, log), folder)
        return load(folder)

    def _trained(self, width: str, weights: WeightType, activations: ActivationType, loss: str, begin: str) -> bytes:
        """Train for one epoch, against labels or against the float model's outputs."""
        import tensorflow as tf
        import tf_keras

        from calibrated import calibrated, tflite
        from qatflow.training.keras_model import training_model
        from qatflow.training.loss import cross_entropy

        starts: FirstScale = "mse" if weights in LEARNED else "mean"
        settings = QuantSettings(
            WIDTHS[width], 8, weights, activations, calibration_method="mse", first_weight_scale=starts
        )
        batches = [self.chosen[first : first + BATCH] for first in range(0, CALIBRATION, BATCH)]
        best = dict(STEPS)[BEST]
        graph = self.graph if begin == FLOAT else self.quantised(width, "mse", best).in_real_values()
        quantisers, model = calibrated(graph, settings, batches)
        teacher = training_model(self.graph, seed=0, step=0, freeze_batch_norm=True).keras
        trained = model.keras.trainable_variables
        images, labels = self.train
        falling = tf_keras.optimizers.schedules.CosineDecay(RATES[loss], len(images) // BATCH)
        optimizer = tf_keras.optimizers.SGD(falling, momentum=0.9, nesterov=True)
        optimizer.build(trained)

        def step(batch: Any, classes: Any) -> None:
            with tf.GradientTape() as tape:
                logits = model.keras(batch, training=True)
                if loss == "labels":
                    each = cross_entropy(classes, logits, 0.0)
                else:
                    each = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher(batch)), logits)
                value = tf.reduce_mean(each)
            optimizer.apply_gradients(zip(tape.gradient(value, trained), trained, strict=True))

        run = tf.function(step, autograph=False)
        order = np.random.default_rng(0).permutation(len(images))
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            run(tf.constant(normalised(images[batch])), tf.constant(labels[batch]))
        return tflite(quantisers, model)

    @property
    def graph(self) -> Graph:
        """The float network."""
        if self._float is None:
            from qatflow.models.architectures import mobilenet_v1
            from qatflow.models.from_keras import graph_of
            from qatflow.pretrained.keras_weights import load_weights

            keras = mobilenet_v1((224, 224, 3), 1000, 0.75, 0.001)
            load_weights(keras, self.data / "weights" / "mobilenet_7_5_224_tf.h5", "MobileNetV1")
            self._float = graph_of(keras)
        return self._float

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """The training pictures, uint8, and their labels."""
        if self._train is None:
            self._train = pictures(self.data / "imagenet_sample")
        return self._train

    @property
    def chosen(self) -> np.ndarray:
        """The calibration pictures, float32 [n, 224, 224, 3]."""
        images, _ = self.train
        return normalised(images[np.random.default_rng(0).permutation(len(images))[:CALIBRATION]])


def measure(rows: Mapping[str, Row], data: Path, work: Path) -> None:
    """Make the models of the rows that are not in the folder yet, and keep their predictions and processor time."""
    from qatflow.tflite.run import Model

    held_out: np.ndarray | None = None
    for name, make in rows.items():
        path = predictions(work, name)
        if path.is_file():
            continue
        began = time.process_time()
        content = make()
        seconds = time.process_time() - began
        if held_out is None:
            held_out, _ = pictures(data / "nips17")
        model = Model(content)
        classes = np.array([model.outputs(normalised(image[None])).argmax() for image in held_out])
        part = path.with_name(f"{path.stem}_part.npz")
        path.with_suffix(".tflite").write_bytes(content)
        np.savez(part, classes=classes, seconds=seconds)
        part.rename(path)
        log(f"{name}: {seconds:.0f} s")


def predictions(work: Path, name: str) -> Path:
    """Return the file of a row's predictions; its .tflite lies beside it."""
    return work / f"{name.replace('/', ' of ').replace(' ', '_')}.npz"


def measure_costs(names: Mapping[str, Row], work: Path) -> None:
    """Measure time and instructions of all finished rows' models."""
    files = {name: path.with_suffix(".tflite") for name in names if (path := predictions(work, name)).is_file()}
    counted = instructions(files, work)
    times = milliseconds({name: file.read_bytes() for name, file in files.items()}, REPEATS)
    costs = {name: [float(np.median(times[name])), counted[name]] for name in files}
    (work / COSTS).write_text(json.dumps(costs, indent=1))


def table(names: Mapping[str, Row], labels: np.ndarray, work: Path) -> list[str]:
    """Return the lines of a table with each row that is in the folder, against float."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    results = {name: np.load(path) for name in names if (path := predictions(work, name)).is_file()}
    costs = json.loads((work / COSTS).read_text()) if (work / COSTS).is_file() else {}
    reference = results[FLOAT]["classes"]
    for name, result in results.items():
        classes = result["classes"]
        drop = paired_drop(reference, classes, labels)
        loss = "" if name == FLOAT else f"{drop.points:+.2f} ({drop.low:+.2f} … {drop.high:+.2f})"
        cells = [f"{100 * (classes == labels).mean():.2f}", loss, f"{100 * (classes == reference).mean():.2f}"]
        content = predictions(work, name).with_suffix(".tflite").read_bytes()
        sizes = [len(content), len(zlib.compress(content, 9))] + ([] if name == FLOAT else [len(pack(content))])
        cells += [f"{float(result['seconds']):.0f}", *(f"{size:,}" for size in sizes)] + [""] * (3 - len(sizes))
        cells += [f"{costs[name][0]:.2f}", f"{costs[name][1]:,}"] if name in costs else ["", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure what is missing, and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of weights and pictures, as for imagenet_weights.py")
    parser.add_argument("--work", type=Path, required=True, help="folder of results; kept")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="rows whose name contains one of these; default: PTQ")
    parser.add_argument("--costs", action="store_true", help="also measure time and instructions of all finished rows")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    every = Rows(arguments.data, arguments.work).named()
    wanted = arguments.only or ["PTQ"]
    rows = {name: make for name, make in every.items() if name == FLOAT or any(text in name for text in wanted)}
    measure(rows, arguments.data, arguments.work)
    if arguments.costs:
        measure_costs(every, arguments.work)
    lines = (arguments.data / "nips17" / "labels.txt").read_text().splitlines()
    labels = np.array([int(line.split()[1]) for line in lines])
    print("# Quantisation after training, step by step: MobileNetV1 0.75, 224, Keras' ImageNet weights\n")
    print("\n".join(heading()))
    print(f"* {CALIBRATION} calibration pictures of imagenet_sample, without labels; 500 other pictures, of nips17")
    print(f"* weights {WEIGHTS}, below 8 bits the first and the last layer have 8; activations {ACTIVATIONS}")
    print("* W4A8: activations calibrated by mse; AdaRound: 1000 steps a layer")
    rates = " and ".join(f"{rate:g} ({loss})" for loss, rate in RATES.items())
    print(f"* QAT: one epoch, SGD {rates}, batches of {BATCH}, cosine decay, batch-norm frozen")
    print("* QAT: ranges calibrated by mse; lsq weights start at the least error; distilled: from float outputs")
    print(f"* from PTQ: from the graph of {BEST}; the CPU seconds leave that out")
    print("* losses in percentage points with their paired 95 % intervals; below 0 is a gain")
    print("* as float: the same class as the float model; CPU seconds: of making the model, in one process")
    print("* ms: processor time of a picture on the host, one thread; the models take turns")
    print("* instructions: of a picture on a Cortex-A76 in the emulator\n")
    print("\n".join(table(every, labels, arguments.work)), flush=True)


if __name__ == "__main__":
    main()
