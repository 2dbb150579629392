"""Keras' ImageNet weights of MobileNetV1 0.75: float, post-training quantised, and ours after one epoch of training.

Ours is calibrated and fine-tuned on the 1,000 pictures of imagenet_sample (training split); top-1 is measured on the
500 held-out pictures of nips17. The project ships neither: see tests/e2e/test_imagenet_weights.py.

    python benchmarks/imagenet_weights.py DATA > benchmarks/imagenet_weights.md
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qatflow.training.from_config import int8_rate
from qatflow.training.runtime import start

SETTINGS = [
    (weights, activations, equalised)
    for weights, equalised in (("abs_max", False), ("abs_max", True), ("channel_wise_abs_max", False))
    for activations in ("moving_average_abs_max", "range_abs_max")
]
BATCH, CALIBRATION = 25, 100
RATE = int8_rate(BATCH, freeze_batch_norm=True)


def pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures of a folder, resized whole to uint8 [n, 224, 224, 3], and their labels."""
    lines = [line.split() for line in (folder / "labels.txt").read_text().splitlines()]
    images = [
        np.asarray(Image.open(folder / name).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
        for name, _ in lines
    ]
    return np.stack(images), np.asarray([int(label) for _, label in lines])


def normalised(images: np.ndarray) -> np.ndarray:
    """Return the pictures in −1…1, float32."""
    return images.astype(np.float32) / 127.5 - 1


def training_step(keras: Any) -> Any:
    """Return a function that takes one step of SGD on a batch of pictures and labels."""
    import tensorflow as tf
    import tf_keras

    from qatflow.training.loss import cross_entropy

    trained = keras.trainable_variables
    optimizer = tf_keras.optimizers.SGD(RATE, momentum=0.9)
    optimizer.build(trained)

    def step(images: Any, targets: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(targets, keras(images, training=True), 0.0))
        optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))

    return tf.function(step, autograph=False)


def main(data: Path) -> None:
    """Measure every setting and print a table in Markdown."""
    start(seed=0, threads=2)
    import tensorflow as tf

    from calibrated import calibrated, tflite
    from heading import heading
    from qatflow.base.metrics import accuracy
    from qatflow.compress.preparation import equalise
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.pretrained.keras_weights import load_weights
    from qatflow.ptq.quantise import quantise
    from qatflow.quantisation.placement import QuantSettings, quantised_kernels
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model
    from tflite_converter import quantised_after_training

    keras = mobilenet_v1((224, 224, 3), 1000, 0.75, 0.001)
    load_weights(keras, data / "weights" / "mobilenet_7_5_224_tf.h5", "MobileNetV1")
    graph = graph_of(keras)
    equal, _ = equalise(graph, quantised_kernels(graph))
    held_out, labels = pictures(data / "nips17")
    held_out = normalised(held_out)
    train, train_labels = pictures(data / "imagenet_sample")
    order = np.random.default_rng(0).permutation(len(train))
    chosen = normalised(train[order[:CALIBRATION]])

    def row(model_name: str, content: bytes, before: float | None = None, seconds: float | None = None) -> float:
        after = 100 * accuracy(Model(content, threads=2).outputs(held_out), labels).top1
        cells = [
            f"{before:.1f}" if before else "",
            f"{after:.1f}",
            f"{len(content):,}",
            f"{seconds:.0f}" if seconds else "",
        ]
        print(f"| {model_name} | {' | '.join(cells)} |", flush=True)
        return after

    print("# MobileNetV1 0.75, 224, Keras' ImageNet weights: top-1 % on 500 held-out pictures of nips17\n")
    print("\n".join(heading()))
    print(
        f"* calibrated on {CALIBRATION} of the 1,000 pictures of imagenet_sample; ours then trained on all, one epoch"
    )
    print(f"* SGD {RATE:g} (compress.learning_rate: null), batches of {BATCH}, batch-norm frozen")
    print("* standard error of a figure: 1.8 points\n")
    print("| model | calibrated | top-1 | bytes | seconds of training |\n|---|---|---|---|---|")
    float_model = convert(graph).content
    row("float", float_model)
    row("PTQ, TFLiteConverter", quantised_after_training(graph, chosen))
    row("PTQ, ai-edge-quantizer", quantise(float_model, chosen))
    results = []
    for weights, activations, prepared in SETTINGS:
        quantisers, model = calibrated(
            equal if prepared else graph,
            QuantSettings(8, 8, weights, activations),
            [chosen[first : first + BATCH] for first in range(0, CALIBRATION, BATCH)],
        )
        before = 100 * accuracy(Model(tflite(quantisers, model), threads=2).outputs(held_out), labels).top1
        step = training_step(model.keras)
        began = time.monotonic()
        for first in range(0, len(order), BATCH):
            batch = order[first : first + BATCH]
            step(tf.constant(normalised(train[batch])), tf.constant(train_labels[batch]))
        seconds = time.monotonic() - began
        setting = f"{weights}, {activations}" + ("" if prepared or weights != "abs_max" else ", channels not equalised")
        after = row(f"ours, {setting}", tflite(quantisers, model), before, seconds)
        if prepared or weights != "abs_max":
            results.append(after)
    lowest = min(results)
    print(f"\n* ours >= 79.5 in all four settings: {'yes' if lowest >= 79.5 else 'no'} (lowest {lowest:.1f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
