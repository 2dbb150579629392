"""Genuine MobileNetV1 0.75 weights: float, calibrated, fine-tuned for one epoch, in four weight × activation settings.

Calibration and fine-tuning on the 1,000 pictures of imagenet_sample (training split), top-1 on the 500 held-out ones
of nips17. Both are verification data that the project does not ship: see tests/test_imagenet_weights.py.

    python benchmarks/imagenet_weights.py DATA > benchmarks/imagenet_weights.md
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qatflow.tensorflow_runtime import start

SETTINGS = [
    (weights, activations)
    for weights in ("abs_max", "channel_wise_abs_max")
    for activations in ("moving_average_abs_max", "range_abs_max")
]
BATCH, RATE, CALIBRATION = 25, 3e-6, 100


def pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures of a folder, full frame, float32 [n, 224, 224, 3] in −1…1, and their labels."""
    lines = [line.split() for line in (folder / "labels.txt").read_text().splitlines()]
    images = [
        np.asarray(Image.open(folder / name).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
        for name, _ in lines
    ]
    return np.stack(images), np.asarray([int(label) for _, label in lines])


def normalised(images: np.ndarray) -> np.ndarray:
    """Return −1…1, float32."""
    return images.astype(np.float32) / 127.5 - 1


def training_step(keras: Any) -> Any:
    """Return a function that takes one step of SGD on a batch of pictures and labels."""
    import tensorflow as tf
    import tf_keras

    from qatflow.training.figures import cross_entropy

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

    from qatflow.compress.quantize_model import QuantSettings
    from qatflow.metrics import accuracy
    from qatflow.pretrained.keras_weights import load_h5
    from qatflow.provenance import versions
    from qatflow.tflite.from_graph import convert
    from qatflow.tflite.run import Model

    graph = load_h5(data / "weights" / "mobilenet_7_5_224_tf.h5", (224, 224, 3), 1000, 0.75, 0.001, 0.99)
    held_out, labels = pictures(data / "nips17")
    held_out = normalised(held_out)
    train, train_labels = pictures(data / "imagenet_sample")
    order = np.random.default_rng(0).permutation(len(train))

    def top1(content: bytes) -> str:
        return f"{100 * accuracy(Model(content, threads=2).outputs(held_out), labels).top1:.1f}"

    print("# MobileNetV1 0.75, 224, genuine ImageNet weights: top-1 on 500 held-out pictures of nips17\n")
    print(f"{versions()}, 2 cores; SE 1.8 points; one epoch of 1,000 pictures, SGD {RATE:g}, frozen batch-norm\n")
    print(
        "| weights | activations | calibrated | fine-tuned | bytes | seconds of training |\n|---|---|---|---|---|---|"
    )
    content = convert(graph).lowered.content
    print(f"| float | | {top1(content)} | | {len(content):,} | |", flush=True)
    for weights, activations in SETTINGS:
        batches = [normalised(train[order[first : first + BATCH]]) for first in range(0, CALIBRATION, BATCH)]
        quantisers, model = calibrated(graph, QuantSettings(8, 8, weights, activations), batches)
        before = top1(tflite(quantisers, model))
        step = training_step(model.keras)
        began = time.monotonic()
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            step(tf.constant(normalised(train[chosen])), tf.constant(train_labels[chosen]))
        seconds = time.monotonic() - began
        content = tflite(quantisers, model)
        print(
            f"| {weights} | {activations} | {before} | {top1(content)} | {len(content):,} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
