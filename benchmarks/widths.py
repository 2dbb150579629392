"""Bytes, packed bytes and host latency of MobileNetV1 1.0 at 224 × 224 by the width of its weights.

    python benchmarks/widths.py > benchmarks/widths.md

The first and the last layer have 8 bits below 8. One model has INT4 tensors (int4_storage), which LiteRT
unpacks at each call. The weights are random: latency does not depend on them, deflated and
packed bytes do. Uniform ones, Keras' initial kernels, are the worst case for deflate; trained ones are rather normal.
"""

import argparse
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from heading import heading
from qatflow.base.cli import entry
from qatflow.graph.bias_steps import with_least_integers
from qatflow.graph.graph import Graph
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.int4 import BITS, with_int4_kernels
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import least_bits, pack, unpack
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.training.runtime import start

SHAPE, SEED = (224, 224, 3), 0
CLASSES, DRAWN = (10, 1000), ("uniform", "normal")
WIDTHS = (8, 7, 6, 5, 4, 3, 2)
INT4 = "4, as INT4 tensors"
WEIGHTS = "channel_wise_abs_max"
AIM = 0.57
"""Packed bytes over int8's at 4 bits."""


def network(classes: int, drawn: str) -> Graph:
    """Return a float MobileNetV1 1.0 with random kernels: Keras' uniform ones, or normal ones of the same variance."""
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of

    graph = graph_of(mobilenet_v1(SHAPE, classes, 1.0, 0.001), momentum=0.9)
    if drawn == "uniform":
        return graph
    random = np.random.default_rng(SEED)
    kernels = {node.kernel for node in graph.nodes if node.kernel is not None}
    weights = {
        name: random.normal(0, values.std(), values.shape).astype(np.float32) if name in kernels else values
        for name, values in graph.weights.items()
    }
    return replace(graph, weights=weights)


def tflite(graph: Graph, bits: int) -> bytes:
    """Return the int8 .tflite with weights of so many bits."""
    return convert(as_if_quantised(graph, QuantSettings(bits, 8, WEIGHTS, "moving_average_abs_max"))).content


def in_int4(graph: Graph, bits: int) -> bytes:
    """Return the .tflite with weights of so many bits, and with its kernels of up to 4 bits as INT4 tensors."""
    settings = QuantSettings(bits, 8, WEIGHTS, "moving_average_abs_max")
    content = convert(with_least_integers(as_if_quantised(graph, settings))).content
    kernels = [operator.kernel for operator in operators(content) if operator.kernel is not None]
    return with_int4_kernels(content, [one.name for one in kernels if least_bits(np.asarray(one.data)) <= BITS])[0]


def sizes(content: bytes) -> tuple[int, int, int]:
    """Return bytes, deflated bytes and packed bytes."""
    packed = pack(content)
    if unpack(packed, "the packed file") != content:
        raise AssertionError("the packed file does not expand to the model")
    return len(content), len(zlib.compress(content, 9)), len(packed)


def ratios_to_8(models: dict[str, bytes], rounds: int, repeats: int) -> dict[str, np.ndarray]:
    """Return processor time over that of 8 bits, by name: one ratio for each round, in turns, one thread."""
    loaded = {name: Model(content, threads=1) for name, content in models.items()}
    ratios: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds):
        times = {name: _processor_time(model, repeats) for name, model in loaded.items()}
        for name, seconds in times.items():
            ratios[name].append(seconds / times["8"])
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return {name: np.asarray(values) for name, values in ratios.items()}


def _processor_time(model: Model, repeats: int) -> float:
    began = time.process_time()
    model.milliseconds(repeats, warmup=0)
    return time.process_time() - began


def main(argv: Sequence[str]) -> None:
    """Make the models, measure them and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="in each, every model is timed in turn")
    parser.add_argument("--repeats", type=int, default=10, help="timed runs per model and round")
    arguments = parser.parse_args(argv)
    start(SEED, threads=2)
    graphs = {(classes, drawn): network(classes, drawn) for classes in CLASSES for drawn in DRAWN}
    lines = ["# Widths of weights: MobileNetV1 1.0, 224 × 224 × 3", "", *heading()]
    lines += [
        f"* {WEIGHTS}, first and last layer at 8 bits below 8, stored as int8",
        f"* random weights (seed {SEED}): uniform as Keras draws them, which deflate hardly shrinks, or normal of the "
        "same variance, as trained ones are rather",
        "* deflated: the .tflite by zlib at level 9; packed: model.tflite.packed",
        "",
        "| classes | weights | bits | bytes | deflated | packed | deflated / bytes | packed / bytes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    met = []
    for (classes, drawn), graph in graphs.items():
        for bits in WIDTHS:
            size, deflated, packed = sizes(tflite(graph, bits))
            lines.append(
                f"| {classes:,} | {drawn} | {bits} | {size:,} | {deflated:,} | {packed:,} | {deflated / size:.3f} "
                f"| {packed / size:.3f} |"
            )
            if bits == 4:
                met.append(f"{classes:,} classes, {drawn}: {packed / size:.3f}")
    models = {str(bits): tflite(graphs[1000, "normal"], bits) for bits in WIDTHS}
    models[INT4] = in_int4(graphs[1000, "normal"], 4)
    ratios = ratios_to_8(models, arguments.rounds, arguments.repeats)
    lines += [
        "",
        f"Packed bytes over int8's at 4 bits, aim {AIM:g}: {'; '.join(met)}.",
        "",
        "Processor time of one picture on the host over that of 8 bits: LiteRT, one thread, 1,000 classes, "
        f"{arguments.rounds} rounds × {arguments.repeats} runs, the models taking turns; median of the rounds' ratios, "
        "and the middle half of them.",
        "",
        "| bits | time / time of 8 bits | middle half |",
        "|---|---|---|",
    ]
    for name, values in ratios.items():
        low, middle, high = np.percentile(values, (25, 50, 75))
        lines.append(f"| {name} | {middle:.3f} | {low:.3f} … {high:.3f} |")
    print("\n".join(lines))


if __name__ == "__main__":
    entry(main)
