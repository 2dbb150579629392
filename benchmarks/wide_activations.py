"""Time and bytes of models with activations of 16 bits beside the same with 8: LiteRT on this machine, one thread.

    PYTHONPATH=src:benchmarks python benchmarks/wide_activations.py > benchmarks/wide_activations.md

The weights are random: neither bytes nor time depend on their values.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np

from heading import heading
from qatflow.base.cli import entry
from qatflow.tflite.run import Model

PICTURES, CLASSES, SEED = 2, 1000, 0
NETWORKS = {
    "MobileNetV1 0.25, 96": ("MobileNet", (96, 96, 3), {"alpha": 0.25}),
    "MobileNetV1 1.0, 224": ("MobileNet", (224, 224, 3), {}),
    "MobileNetV2 1.0, 224": ("MobileNetV2", (224, 224, 3), {}),
}
NARROW, WIDE, MIXED = "8 bits", "16 bits", "8 bits, the first convolution's output 16"
FIRST = {"MobileNet": "conv1", "MobileNetV2": "(bn_)?Conv1"}


def models(network: str) -> dict[str, bytes]:
    """Return the .tflite files of a network by the width of its activations; TensorFlow must be running."""
    import tf_keras

    from qatflow.models.from_keras import graph_of
    from qatflow.quantisation.as_if_quantised import as_if_quantised
    from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
    from qatflow.tflite.lower import convert
    from qatflow.trial.float_ranges import float_ranges

    kind, shape, options = NETWORKS[network]
    made = getattr(tf_keras.applications, kind)(shape, weights=None, classes=CLASSES, **options)
    graph = graph_of(made, momentum=0.9)
    pictures = np.random.default_rng(SEED).uniform(-1, 1, (PICTURES, *shape)).astype(np.float32)
    ranges = float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), pictures)
    widths: dict[str, int | dict[str, int]] = {NARROW: 8, WIDE: 16, MIXED: {FIRST[kind]: 16}}
    return {
        name: convert(
            as_if_quantised(graph, QuantSettings(8, bits, "abs_max", "moving_average_abs_max"), ranges)
        ).content
        for name, bits in widths.items()
    }


def seconds(files: Mapping[str, bytes], rounds: int) -> dict[str, np.ndarray]:
    """Return the processor time of a run in each round, by model; the models take turns."""
    loaded = {name: Model(content, threads=1) for name, content in files.items()}
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, model in loaded.items():
            model.milliseconds(1, warmup=1)
            runs, started = 0, time.process_time()
            while (spent := time.process_time() - started) < 0.2 or runs < 2:
                model.milliseconds(1, warmup=0)
                runs += 1
            times[name].append(spent / runs)
    return {name: np.asarray(values) for name, values in times.items()}


def page(rows: Sequence[str], rounds: int) -> str:
    """Return the table in Markdown."""
    return "\n".join(
        [
            "# Activations of 16 bits: time and bytes",
            "",
            *heading(),
            f"* LiteRT on this machine, one thread; processor time, median of {rounds} rounds in which the models take "
            "turns; in brackets the range of the rounds' ratios",
            "* weights are random and per tensor; time and bytes do not depend on the values",
            "",
            "| network | activations | bytes | ms | times that of 8 bits |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )


def main(argv: Sequence[str]) -> None:
    """Make the models, measure them and print the table."""
    from qatflow.training.runtime import start

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args(argv)
    start(SEED, threads=2)
    rows = []
    for network in NETWORKS:
        files = models(network)
        times = seconds(files, arguments.rounds)
        for name, values in times.items():
            ratios = values / times[NARROW]
            rows.append(
                f"| {network} | {name} | {len(files[name]):,} | {1e3 * np.median(values):.2f} "
                f"| {np.median(ratios):.1f} ({ratios.min():.1f} … {ratios.max():.1f}) |"
            )
        print(network, file=sys.stderr, flush=True)
    print(page(rows, arguments.rounds))


if __name__ == "__main__":
    entry(main)
