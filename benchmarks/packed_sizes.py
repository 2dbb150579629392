"""Bytes of MobileNetV1's packed file by the width of its weights, with Keras' ImageNet weights.

DATA is as for imagenet_weights.py. The integers are those of quantisation after training of our own graph, rounded to
the nearest. The int8 .tflite of the same weights is what all bytes are compared with.

    PYTHONPATH=src:benchmarks python benchmarks/packed_sizes.py DATA > benchmarks/packed_sizes.md
"""

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from heading import heading
from imagenet_weights import normalised, pictures
from qatflow.config.sections.ptq import PtqSection
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.packing import pack, unpack
from qatflow.training.runtime import start

CALIBRATION, SEED = 16, 1
WEIGHTS, ACTIVATIONS = "channel_wise_abs_max", "moving_average_abs_max"
FILES = {1.0: "mobilenet_1_0_224_tf_from_official_quant_unfolded.h5", 0.75: "mobilenet_7_5_224_tf.h5"}
"""By width multiplier. The first is dequantised from the official quantised model: its kernels are on an 8-bit grid."""
ROWS: tuple[tuple[int, str], ...] = ((8, "max"), (6, "max"), (5, "max"), (4, "max"), (4, "mse"), (3, "max"))
"""Width, and which part of a kernel's range gets integers."""
AIM = 0.57
"""Packed bytes over int8's at 4 bits."""


def quantised(graph: Any, bits: int, weight_range: str, chosen: np.ndarray) -> bytes:
    """Return the int8 .tflite of a float graph, quantised after training."""
    from qatflow.ptq.graph import quantise_graph
    from qatflow.tflite.lower import convert
    from qatflow.trial.pictures import PicturesInMemory

    section = PtqSection.model_validate({"tool": "qatflow", "weight_range": weight_range})
    settings = QuantSettings(bits, 8, WEIGHTS, ACTIVATIONS)
    return convert(quantise_graph(graph, settings, section, PicturesInMemory(chosen), SEED, lambda _: None)).content


def main(data: Path) -> None:
    """Make the models and print the table in Markdown."""
    start(seed=0, threads=2)
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.pretrained.keras_weights import load_weights

    images, _ = pictures(data / "imagenet_sample")
    chosen = normalised(images[np.random.default_rng(0).permutation(len(images))[:CALIBRATION]])
    lines = [
        "| alpha | bits | weight_range | bytes | deflated | packed | deflated / int8 | packed / int8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    met = []
    for alpha, file in FILES.items():
        keras = mobilenet_v1((224, 224, 3), 1000, alpha, 0.001)
        load_weights(keras, data / "weights" / file, "MobileNetV1")
        graph, int8 = graph_of(keras), 0
        for bits, weight_range in ROWS:
            content = quantised(graph, bits, weight_range, chosen)
            packed = pack(content)
            if unpack(packed, "the packed file") != content:
                raise AssertionError("the packed file does not expand to the model")
            size, deflated = len(content), len(zlib.compress(content, 9))
            int8 = int8 or size
            shares = f"{deflated / int8:.3f} | {len(packed) / int8:.3f}"
            lines.append(
                f"| {alpha} | {bits} | {weight_range} | {size:,} | {deflated:,} | {len(packed):,} | {shares} |"
            )
            if bits == 4:
                met.append(f"{alpha}, {weight_range}: {len(packed) / int8:.3f}")
            print(lines[-1], file=sys.stderr, flush=True)
    print("# Packed files: MobileNetV1, 224 × 224 × 3, 1,000 classes, ImageNet weights\n")
    print("\n".join(heading()))
    print(f"* {WEIGHTS}, rounded to the nearest after training; below 8 bits the first and the last layer have 8")
    print(f"* activations {ACTIVATIONS}, calibrated on {CALIBRATION} pictures")
    print("* the weights of 1.0 are dequantised from the official quantised model; those of 0.75 are Keras' own\n")
    print("\n".join(lines))
    print(f"\nPacked bytes over int8's at 4 bits, aim {AIM:g}: {'; '.join(met)}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
