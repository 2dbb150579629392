"""Every convolutional network of tf_keras.applications: Keras, graph, training step, int8 .tflite, emulator.

    PYTHONPATH=src:benchmarks python benchmarks/zoo.py --work /tmp/work > benchmarks/zoo.md

Each network runs at the smallest pictures that it takes, with random weights, in a process of its own, and leaves a row
in benchmarks/zoo/. A killed run goes on with the networks that have none; `--again` measures some again.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from heading import heading
from qatflow.base.cli import entry
from qatflow.base.provenance import commit
from qatflow.device.build.build import build
from qatflow.device.build.runtime import fetch_runtime
from qatflow.device.build.targets import find_target
from zoo_networks import NETWORKS, Network
from zoo_row import Problem, Row, read, write

HERE = Path(__file__).parent
ROWS, DEMO, LOCK = HERE / "zoo", HERE.parent / "demo" / "cxx" / "mobile_light", HERE.parent / "requirements.lock"
LAST_LINES = 3
COLUMNS = (
    "network | pictures | parameters | multiply-adds | float − Keras | loss | in int8 | in float | bytes float | "
    "bytes int8 | steps a layer | steps at the end | emulator | s"
)


def measure(network: Network, rows: Path, work: Path) -> None:
    """Measure a network in a process of its own; a crash becomes a row as well."""
    command = [sys.executable, str(HERE / "zoo_measure.py"), network.name, f"--rows={rows}", f"--work={work}"]
    process = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        last = " ".join(process.stderr.strip().splitlines()[-LAST_LINES:])
        write(rows, Problem(network.name, f"ended with status {process.returncode}: {last}", str(commit())))
    shutil.rmtree(work / network.name.replace(" ", "_"), ignore_errors=True)


def bundle(work: Path) -> None:
    """Build the demo for the emulator, unless it is there."""
    if not (work / "bundle").is_dir():
        fetch_runtime(LOCK, "aarch64", work / "libLiteRt.so")
        build(DEMO, find_target("android.armv8", "gcc"), work / "libLiteRt.so", work / "bundle")


def page(rows: dict[str, Row | Problem]) -> str:
    """Return the table in Markdown: what was measured, then what does not go through, then what is missing."""
    done = [row for name in NETWORKS if isinstance(row := rows.get(name), Row)]
    problems = [row for name in NETWORKS if isinstance(row := rows.get(name), Problem)]
    missing = [name for name in NETWORKS if name not in rows]
    every: list[Row | Problem] = [*done, *problems]
    commits = list(dict.fromkeys(row.commit for row in every))
    lines = ["# The networks of tf_keras.applications", "", *heading(commits), "", *TEXT, ""]
    lines += [f"{len(done)} of {len(NETWORKS)} networks go through; {_summary(done)}", ""] if done else []
    lines += [f"| {COLUMNS} |", "|---" * len(COLUMNS.split("|")) + "|", *map(_line, done)]
    lines += ["", "Not through:", "", *(f"* {row.network}: {row.problem}" for row in problems)] if problems else []
    lines += ["", f"Not measured yet: {', '.join(missing)}."] if missing else []
    return "\n".join(lines)


TEXT = (
    "Each network at the smallest pictures that it takes, ten classes, random weights: Keras' kernels, random gammas "
    "and betas, batch-norm's statistics of 32 random pictures, with which the training step is taken as well.",
    "",
    "* float − Keras: greatest difference of the float .tflite's probabilities from Keras' own predict; of logits, as "
    "a share of the largest. Rounding in float32 grows in deep random networks: Keras' own outputs of ResNet152 differ "
    "by 5.3e-4 from those of the same network in float64, the .tflite's by 7.1e-4; of ResNetRS420 by 1.3e-3 and "
    "1.2e-3. EfficientNetV2L's random activations reach 10,000, and its probabilities are 0 or 1 for two pictures: the "
    "tensors of one differ by 3e-5 in its fifth block and by 2e-4 in its sixth, and it ends in another class",
    "* loss: of a training step with fake quantisation, whose gradients are finite; a norm above 100 is scaled to that "
    "(EfficientNetV2L alone was measured since)",
    "* in int8: convolutions, depthwise convolutions and dense layers in int8, of all; their integers are training's",
    "* in float: layers that have no int8 form (`keep_in_float: auto`)",
    "* steps a layer: greatest difference of an int8 tensor from training's fake quantisation of the same inputs, over "
    "four pictures; at the end: of a logit, from the pictures on (random networks make differences grow)",
    "* emulator: pictures with equal integer logits under qemu (Cortex-A76) and here; else the greatest difference",
    "* s: processor time of everything, with one thread",
)


def _summary(rows: Sequence[Row]) -> str:
    float_apart = max(row.float_difference for row in rows)
    equal = sum(row.emulated_equal == row.emulated for row in rows)
    within = sum(row.layer_steps <= 1 for row in rows)
    return (
        f"the float .tflite differs from Keras by at most {float_apart:.1e}; {within} are within a step in each layer; "
        f"{equal} have equal integers in the emulator."
    )


def _line(row: Row) -> str:
    in_float = ", ".join(f"{number} {kind}" for kind, number in row.in_float.items()) or "—"
    equal = f"{row.emulated_equal} of {row.emulated}"
    emulator = equal if row.emulated_equal == row.emulated else f"{equal}, {row.emulated_steps} steps"
    return (
        f"| {row.network} | {row.size} | {row.parameters:,} | {row.multiply_adds / 1e6:,.1f} M "
        f"| {row.float_difference:.1e} | {row.loss:.2f} | {row.int8_layers} of {row.weighted_layers} | {in_float} "
        f"| {row.float_bytes:,} | {row.int8_bytes:,} | {row.layer_steps:.0f} | {row.end_steps:.0f} | {emulator} "
        f"| {row.seconds:.0f} |"
    )


def main(argv: Sequence[str]) -> None:
    """Measure the networks that have no row, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the demo and the models")
    parser.add_argument("--rows", type=Path, default=ROWS, help="folder of the rows (benchmarks/zoo)")
    parser.add_argument("--only", nargs="*", choices=NETWORKS, default=list(NETWORKS), help="networks to measure")
    parser.add_argument("--again", action="store_true", help="measure these networks though they have a row")
    arguments = parser.parse_args(argv)
    for folder in (arguments.work, arguments.rows):
        folder.mkdir(parents=True, exist_ok=True)
    known = read(arguments.rows)
    wanted = [name for name in arguments.only if arguments.again or not isinstance(known.get(name), Row)]
    if wanted:
        bundle(arguments.work)
    for number, name in enumerate(wanted, 1):
        print(f"{number} of {len(wanted)}: {name}", file=sys.stderr, flush=True)
        measure(NETWORKS[name], arguments.rows, arguments.work)
    print(page(read(arguments.rows)))


if __name__ == "__main__":
    entry(main)
