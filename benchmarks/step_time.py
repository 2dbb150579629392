"""A step of training for int8 against a step in float, with stock tfmot's beside it, and where its time goes.

    PYTHONPATH=src:benchmarks python benchmarks/step_time.py > benchmarks/step_time.md

All models are the same MobileNetV1 with the same pictures in memory, loss, optimiser and weight decay. Their steps take
turns, so that other load on the machine affects all of them alike; each round has the next of four batches, so that in
some tensors values lie beyond the range so far. Ratios are medians of the rounds' ratios, with the middle half of them
in brackets. Processor time is that of all threads.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from heading import heading
from qatflow.base.cli import entry
from qatflow.config.sections.model import ModelSection
from qatflow.graph.graph import Graph
from qatflow.quantisation.placement import QuantSettings
from step_parts import parts, profiled

FLOAT, STOCK = "float", "stock tfmot"
TYPES = {
    "qatflow": ("abs_max", "moving_average_abs_max"),
    "qatflow, channel-wise": ("channel_wise_abs_max", "moving_average_abs_max"),
    "qatflow, lsq": ("lsq", "lsq"),
    "qatflow, channel-wise lsq": ("channel_wise_lsq", "lsq"),
}
"""weight_quantize_type and activation_quantize_type by the name in the table; the first one is the default."""
CASES = {(0.5, 32, 128): 1.12, (1.0, 224, 8): 1.10}
"""Aim for the default over float, by width, side of the pictures and batch."""
OVER_STOCK, LSQ = 0.9, 1.25
CLASSES, BATCHES, WARM_UP, SECONDS = 1000, 4, 8, 60.0
Step = Callable[[Any, Any], Any]
Batch = tuple[Any, Any]
"""Pictures and labels."""


def step_of(keras: Any, trained: list[Any]) -> Step:
    """Return a traced training step: a function from pictures and labels to the loss."""
    import tensorflow as tf
    import tf_keras

    from qatflow.training.loss import cross_entropy, sums

    optimizer = tf_keras.optimizers.SGD(1e-6, momentum=0.9, nesterov=True)
    optimizer.build(trained)
    decay = [1e-4 if len(variable.shape) in (2, 4) else 0.0 for variable in trained]
    total = tf.Variable(tf.zeros([4], tf.float64), trainable=False)

    def step(pictures: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = keras(pictures, training=True)
            loss = tf.reduce_mean(cross_entropy(labels, logits, 0.0))
        gradients = tape.gradient(loss, trained)
        changed = [g if d == 0 else g + d * v for g, v, d in zip(gradients, trained, decay, strict=True)]
        optimizer.apply_gradients(zip(changed, trained, strict=True))
        total.assign_add(sums(labels, logits))
        return loss

    return tf.function(step, autograph=False)


def float_graph(width: float, size: int) -> Graph:
    """Return MobileNetV1 with random weights."""
    import tf_keras

    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of

    tf_keras.backend.clear_session()  # stock tfmot's layers are looked up by name
    return graph_of(mobilenet_v1((size, size, 3), CLASSES, width, 0.001), 0.9)


def quantised_step(graph: Graph, weights: str, activations: str, calibration: Any) -> Step:
    """Return the step of a model with fake quantisation, its ranges set by some pictures."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.training.keras_model import training_model

    quantisers = Quantisers(graph, QuantSettings(8, 8, weights, activations))
    model = training_model(graph, seed=0, step=np.int64(0), hooks=quantisers)
    quantisers.calibrate(model, lambda: [calibration])
    quantisers.phase.mode = "quantise"
    return step_of(model.keras, model.keras.trainable_variables)


def steps(graph: Graph, width: float, pictures: Any) -> dict[str, Step]:
    """Return the training step of each model, by its name."""
    from qatflow.training.keras_model import training_model
    from stock_tfmot import quantised_mobilenet, without_softmax

    plain = training_model(graph, seed=0, step=np.int64(0)).keras
    by_model = {FLOAT: step_of(plain, plain.trainable_variables)}
    for name, types in TYPES.items():
        by_model[name] = quantised_step(graph, *types, pictures)
    stock = without_softmax(quantised_mobilenet(graph, ModelSection(alpha=width)))
    by_model[STOCK] = step_of(stock, stock.trainable_variables)
    return by_model


def batches_of(size: int, batch: int) -> list[Batch]:
    """Return batches of random pictures and labels."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    return [
        (
            tf.constant(random.normal(0, 1, (batch, size, size, 3)), tf.float32),
            tf.constant(random.integers(0, CLASSES, batch), tf.int64),
        )
        for _ in range(BATCHES)
    ]


def measure(chosen: Mapping[str, Step], data: Sequence[Batch], seconds: float) -> dict[str, np.ndarray]:
    """Return wall and processor time of each model's steps in ms, [rounds, 2]; they take turns for so many seconds."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    for step in chosen.values():
        for batch in itertools.islice(itertools.cycle(data), WARM_UP):
            float(step(*batch))
    until, batches = time.monotonic() + seconds, itertools.cycle(data)
    while time.monotonic() < until:
        batch = next(batches)
        for name, step in chosen.items():
            wall, processor = time.perf_counter(), time.process_time()
            float(step(*batch))
            times[name].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)))
    return {name: np.asarray(values) for name, values in times.items()}


def table(case: str, times: Mapping[str, np.ndarray], reference: str = FLOAT) -> Iterator[str]:
    """Yield the rows of a case."""
    for name, own in times.items():
        wall, processor = np.median(own, axis=0)
        ratios = [_ratio(own[:, column] / times[reference][:, column]) for column in (0, 1)]
        cells = ["", ""] if name == reference else ratios
        yield f"| {case} | {name} | {wall:.1f} | {processor:.1f} | {' | '.join(cells)} |"


def aims(case: str, times: Mapping[str, np.ndarray], over_float: float) -> Iterator[str]:
    """Yield whether the aims are met in a case, in wall and processor time."""
    default, lsq = next(iter(TYPES)), "qatflow, lsq"
    for what, name, other, aim in (
        ("qatflow / float", default, FLOAT, over_float),
        ("qatflow / stock tfmot", default, STOCK, OVER_STOCK),
        ("lsq / float", lsq, FLOAT, LSQ),
    ):
        wall, processor = np.median(times[name] / times[other], axis=0)
        met = "met" if max(wall, processor) <= aim else "not met"
        yield f"* {case}: {what} <= {aim:.2f}: {met} (wall {wall:.3f}, processor {processor:.3f})"


def _ratio(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.3f} ({low:.3f} … {high:.3f})"


def main(argv: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measuring time for each table of each case")
    parser.add_argument("--threads", type=int, default=2, help="of TensorFlow")
    arguments = parser.parse_args(argv)
    from qatflow.training.runtime import start

    start(seed=0, threads=arguments.threads)
    rows: list[str] = []
    off: list[str] = []
    on_profile: list[str] = []
    met: list[str] = []
    for (width, size, batch), aim in CASES.items():
        case = f"{width} at {size}, batch {batch}"
        print(case, file=sys.stderr, flush=True)
        data, graph = batches_of(size, batch), float_graph(width, size)
        pictures = data[0][0]
        chosen = steps(graph, width, pictures)
        times = measure(chosen, data, arguments.seconds)
        rows += table(f"{case}, {len(times[FLOAT])} rounds", times)
        met += aims(case, times, aim)
        on_profile += profiled(case, {name: chosen[name] for name in (FLOAT, *list(TYPES)[:1], STOCK)}, data)
        default = next(iter(TYPES.values()))
        without = {FLOAT: chosen[FLOAT], "all": chosen[next(iter(TYPES))]}
        for name, switched_off in parts().items():
            with switched_off():
                without[name] = quantised_step(graph, *default, pictures)
                float(without[name](*data[0]))  # traced while it is off
        off += table(case, measure(without, data, arguments.seconds / 2))
    columns = "| MobileNetV1 | {} | wall ms | processor ms | wall / float | processor / float |"
    print("\n".join(["# A step of training", "", *(__doc__ or "").splitlines()[4:], "", *heading()]))
    print(f"* {arguments.threads} thread{'s' if arguments.threads > 1 else ''} of TensorFlow")
    print("\n".join(["", columns.format("model"), "|---|---|---|---|---|---|", *rows, "", *met]))
    print("\n## Where the time goes\n\nThe default types, with a part of fake quantisation switched off:\n")
    print("\n".join([columns.format("without"), "|---|---|---|---|---|---|", *off]))
    print("\nTensorFlow's profile, ms of a step by operation (where other programs ran, their time counts too):\n")
    print("\n".join(on_profile))


if __name__ == "__main__":
    entry(main)
