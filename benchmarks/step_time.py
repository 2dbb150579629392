"""A step of training for int8 against a step in float, with stock tfmot's beside it.

    PYTHONPATH=src:benchmarks python benchmarks/step_time.py > benchmarks/step_time.md

The three models are the same MobileNetV1 with the same pictures in memory, loss, optimiser and weight decay. Their
steps take turns, so that other load on the machine affects all of them alike; the figures are medians.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from heading import heading
from qatflow.config.sections.model import ModelSection
from qatflow.quantise.placement import QuantSettings

AIM = 1.25
CASES = [(0.5, 32, 128), (1.0, 224, 8)]  # width, side of the pictures, batch
CLASSES, WARM_UP, SECONDS = 1000, 3, 60.0
SETTINGS = QuantSettings(8, 8, "abs_max", "moving_average_abs_max")


def step_of(keras: Any, trained: list[Any]) -> Callable[[Any, Any], Any]:
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


def steps(width: float, size: int) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the training step of each model, by its name."""
    import tf_keras

    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.training.keras_model import training_model
    from stock_tfmot import quantised_mobilenet, without_softmax

    tf_keras.backend.clear_session()  # stock tfmot's layers are looked up by name
    graph = graph_of(mobilenet_v1((size, size, 3), CLASSES, width, 0.001), 0.9)
    by_model = {}
    plain = training_model(graph, seed=0, step=np.int64(0)).keras
    by_model["float"] = step_of(plain, plain.trainable_variables)
    quantisers = Quantisers(graph, SETTINGS)
    model = training_model(graph, seed=0, step=np.int64(0), hooks=quantisers)
    quantisers.phase.mode = "quantise"
    by_model["qatflow"] = step_of(model.keras, model.keras.trainable_variables)
    stock = without_softmax(quantised_mobilenet(graph, ModelSection(alpha=width)))
    by_model["stock tfmot"] = step_of(stock, stock.trainable_variables)
    return by_model


def measure(width: float, size: int, batch: int, seconds: float) -> dict[str, list[float]]:
    """Return the times of each model's steps in ms; the models take turns for that many seconds."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    pictures = tf.constant(random.normal(0, 1, (batch, size, size, 3)), tf.float32)
    labels = tf.constant(random.integers(0, CLASSES, batch), tf.int64)
    times: dict[str, list[float]] = {name: [] for name in ("float", "qatflow", "stock tfmot")}
    chosen = steps(width, size)
    for step in chosen.values():
        for _ in range(WARM_UP):
            float(step(pictures, labels))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, step in chosen.items():
            started = time.perf_counter()
            float(step(pictures, labels))
            times[name].append(1e3 * (time.perf_counter() - started))
    return times


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measuring time for each case")
    seconds = parser.parse_args().seconds
    from qatflow.training.runtime import start

    start(seed=0, threads=2)
    lines = ["# A step of training", "", *(__doc__ or "").splitlines()[4:], "", *heading(), ""]
    lines += [
        "| MobileNetV1 | batch | steps | float ms | qatflow ms | stock tfmot ms | qatflow / float | tfmot / float |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for width, size, batch in CASES:
        print(f"{width} at {size}", file=sys.stderr, flush=True)
        times = measure(width, size, batch, seconds)
        plain, ours, stock = (statistics.median(values) for values in times.values())
        lines.append(
            f"| {width} at {size} | {batch} | {len(times['float'])} | {plain:.1f} | {ours:.1f} | {stock:.1f} | "
            f"{ours / plain:.2f} | {stock / plain:.2f} |"
        )
    lines += ["", f"Aim: qatflow / float at most {AIM}."]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
