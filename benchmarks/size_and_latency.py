"""Bytes and latency of MobileNetV1 1.0 at 224 × 224 with 1,000 classes as .tflite: ours, TensorFlow's, and float.

    python benchmarks/size_and_latency.py > benchmarks/size_and_latency.md

The weights are random: neither bytes nor latency depend on their values.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from heading import heading
from qatflow.base.cli import entry
from qatflow.config.sections.model import ModelSection
from qatflow.graph.graph import Graph
from qatflow.tflite.read import WEIGHTED, operators
from qatflow.tflite.run import Model
from qatflow.training.runtime import start

SHAPE, CLASSES = (224, 224, 3), 1000
MODEL = ModelSection(alpha=1.0)
SEED, PICTURES = 0, 8
TFMOT, OURS = "stock tfmot, TFLiteConverter", ("abs_max", "channel_wise_abs_max")
BYTES_OVER_PARAMETERS, LATENCY_OVER_TFMOT = 1.08, 1.02  # the aims


def random_graph(pictures: np.ndarray) -> Graph:
    """Return a float graph with Keras' initial kernels, random gamma and beta, and the pictures' statistics.

    Args:
        pictures: float32 [n, height, width, 3].
    """
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.training.keras_model import training_model

    # momentum 0: the moving statistics become those of the only batch
    graph = graph_of(mobilenet_v1(pictures.shape[1:], CLASSES, MODEL.width, MODEL.dropout), momentum=0.0)
    random = np.random.default_rng(SEED)
    drawn = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5)}
    weights = {
        name: random.uniform(*drawn[role], values.shape).astype(np.float32) if role in drawn else values
        for name, values in graph.weights.items()
        for role in [name.rsplit("/", 1)[1]]
    }
    model = training_model(replace(graph, weights=weights), seed=SEED, step=0)
    model.keras(pictures, training=True)
    return replace(graph, weights=model.weights())


def models() -> dict[str, bytes]:
    """Return the .tflite files by their name in the table; TensorFlow must be running."""
    from calibrated import calibrated, tflite
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.tflite.lower import convert
    from stock_tfmot import quantised_mobilenet
    from tflite_converter import converted, quantised_after_training

    pictures = np.random.default_rng(SEED).uniform(-1, 1, (PICTURES, *SHAPE)).astype(np.float32)
    graph = random_graph(pictures)
    files = {"float": convert(graph).content}
    files["PTQ, TFLiteConverter"] = quantised_after_training(graph, pictures)
    files[TFMOT] = converted(quantised_mobilenet(graph, MODEL))
    for weights in OURS:
        settings = QuantSettings(8, 8, weights, "moving_average_abs_max")
        quantisers, model = calibrated(graph, settings, [pictures])
        files[f"ours, {weights}"] = tflite(quantisers, model)
    return files


def parameter_bytes(content: bytes) -> int:
    """Return the stored bytes of a model's kernels and biases, without scales."""
    weighted = [operator.inputs[1:3] for operator in operators(content) if operator.name in WEIGHTED]
    constants = [tensor.data for tensors in weighted for tensor in tensors if tensor is not None]
    return sum(data.nbytes for data in constants if data is not None)


def latencies(models: dict[str, bytes], rounds: int, repeats: int) -> dict[str, float]:
    """Return the median time per picture in ms, by model: one thread, with the models taking turns in every round."""
    loaded = {name: Model(content, threads=1) for name, content in models.items()}
    times: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for number in range(rounds):
        for name, model in loaded.items():
            times[name].append(model.milliseconds(repeats, warmup=2))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return {name: float(np.median(np.concatenate(values))) for name, values in times.items()}


def page(models: dict[str, bytes], milliseconds: dict[str, float], runs: str) -> str:
    """Return the table in Markdown, and whether the aims are met."""
    lines = ["# MobileNetV1 1.0, 224 × 224 × 3, 1,000 classes: bytes and latency", "", *heading()]
    lines += [
        f"* weights are random (seed {SEED}): Keras' initial kernels, random gamma and beta, batch-norm's statistics "
        f"of {PICTURES} random pictures, which set our ranges too; bytes and latency do not depend on the values",
        f"* latency: LiteRT on this machine, one thread, median of {runs}",
        "",
        "| model | bytes | parameter bytes | bytes / parameters | ms | ms / stock tfmot |",
        "|---|---|---|---|---|---|",
    ]
    over = {name: len(content) / parameter_bytes(content) for name, content in models.items()}
    slower = {name: time / milliseconds[TFMOT] for name, time in milliseconds.items()}
    lines += [
        f"| {name} | {len(content):,} | {parameter_bytes(content):,} | {over[name]:.3f} | {milliseconds[name]:.2f} "
        f"| {slower[name]:.3f} |"
        for name, content in models.items()
    ]
    ours = [f"ours, {weights}" for weights in OURS]
    return "\n".join(
        [
            *lines,
            "",
            f"* {_aim('bytes over parameters', max(over[name] for name in ours), BYTES_OVER_PARAMETERS)}",
            f"* {_aim('latency over stock tfmot', max(slower[name] for name in ours), LATENCY_OVER_TFMOT)}",
        ]
    )


def _aim(ratio: str, worst: float, aim: float) -> str:
    return f"{ratio} <= {aim:g}: {'yes' if worst <= aim else 'no'} (worst of ours {worst:.3f})"


def main(argv: Sequence[str]) -> None:
    """Make the models, measure them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="in each, every model is timed in turn")
    parser.add_argument("--repeats", type=int, default=20, help="timed runs per model and round")
    arguments = parser.parse_args(argv)
    start(SEED, threads=2)
    files = models()
    measured = latencies(files, arguments.rounds, arguments.repeats)
    print(page(files, measured, f"{arguments.rounds} rounds × {arguments.repeats} runs, the models taking turns"))


if __name__ == "__main__":
    entry(main)
