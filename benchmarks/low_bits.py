"""Weights of few bits: top-1 by width and by type of quantisation, for two networks and several seeds.

    python benchmarks/low_bits.py --work /tmp/low_bits > benchmarks/low_bits.md

Run it in the repository's root. Each network is trained in float once per seed, and each row goes on from there. What a
finished row computes is kept in WORK; a training that was interrupted goes on where it was. `--only NETWORK SEED ROW`
measures a single row, such as `--only MobileNetV1 1 "W2A8, lsq"`, and makes the float model first where it is missing.
Progress goes to stderr.
"""

import argparse
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from experiments import CONFIGURATIONS, Experiment, experiment, prepared
from heading import heading
from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.base.files import whole_file
from qatflow.base.metrics import paired_drop
from qatflow.base.provenance import commit
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.data.reader import tensors
from qatflow.graph.graph import Graph

NETWORKS = ("MobileNetV1", "MobileNetV3Small")
SEEDS = (1, 2, 3)
FLOAT = "float"
WIDTHS = (8, 4, 3, 2)
TYPES = {
    "default": ("abs_max", "moving_average_abs_max"),
    "channel_wise_abs_max": ("channel_wise_abs_max", "moving_average_abs_max"),
    "lsq": ("lsq", "lsq"),
    "channel_wise_lsq, lsq": ("channel_wise_lsq", "lsq"),
    "channel_wise_lsq, pact": ("channel_wise_lsq", "pact"),
}
"""weight_quantize_type and activation_quantize_type, by the name in the table; `default` is the configuration's."""
ROWS = {f"W{bits}A8, {name}": (bits, *types) for bits in WIDTHS for name, types in TYPES.items()}
AIMS = {4: 0.3, 2: 2.0}
"""Points of top-1 that the best type may lose, by width."""


@dataclass(frozen=True)
class Figures:
    """What a row of one seed takes.

    Attributes:
        bytes: of the .tflite.
        deflated: its bytes, compressed by zlib.
        seconds: of the training, as far as one process did it.
        commit: at which it was measured.
    """

    bytes: int
    deflated: int
    seconds: float
    commit: str


@dataclass(frozen=True)
class Case:
    """A network with one seed: where its models and their predictions are kept.

    Attributes:
        experiment: configuration and budget.
        data: prepared pictures.
        folder: of the float model and of all rows.
        seed: of all trainings.
        threads: of TensorFlow and LiteRT.
    """

    experiment: Experiment
    data: Manifest
    folder: Path
    seed: int
    threads: int

    def is_measured(self, row: str) -> bool:
        """Return whether nothing is left to do."""
        return self.predictions(row).is_file()

    def predictions(self, row: str) -> Path:
        """Return the file of the predicted classes of the test pictures, int32 [n]; it is written last."""
        return self.folder / f"{_file_name(row)}.npy"

    def figures(self, row: str) -> Path:
        """Return the file of `Figures`."""
        return self.folder / f"{_file_name(row)}.json"

    def measure(self, row: str) -> None:
        """Train what is missing of a row, and run the model on all test pictures."""
        from qatflow.graph.store import load
        from qatflow.tflite.lower import convert
        from qatflow.tflite.run import Model

        began = time.monotonic()
        self._train_float()
        graph = load(self.folder / "pretrained")
        if row != FLOAT:
            bits, weights, activations = ROWS[row]
            graph = self._trained(row, self.experiment.quantised_as(weights, activations, bits))
        seconds = time.monotonic() - began
        content = convert(graph).content
        (self.folder / f"{_file_name(row)}.tflite").write_bytes(content)
        inputs, _ = tensors(self.data, "test")
        predicted = Model(content, self.threads).outputs(inputs).argmax(axis=1).astype(np.int32)
        figures = Figures(len(content), len(zlib.compress(content, 9)), round(seconds, 1), str(commit()))
        self.figures(row).write_text(json.dumps(asdict(figures)))
        with whole_file(self.predictions(row)) as temporary, temporary.open("wb") as file:
            np.save(file, predicted)

    def _train_float(self) -> None:
        """Do the same as the rule make_pretrained, once for all rows."""
        from qatflow.data.manifest import FILE
        from qatflow.pretrained.prepare import WeightsSource, prepare

        if (self.folder / "pretrained").is_dir():
            return
        config, source = self.experiment.config, WeightsSource(None, own=False, train=True)
        data, output, state = self.data.folder / FILE, self.folder / "pretrained", self.folder / "state"
        prepare(source, config.model, config.pretrained.train, data, output, state, self.seed, self.threads)

    def _trained(self, row: str, recipe: CompressConfig) -> Graph:
        from qatflow.compress.compressor import Compressor
        from qatflow.graph.store import load
        from qatflow.training.runtime import start

        start(self.seed, self.threads)
        work = self.folder / "training" / _file_name(row)
        work.mkdir(parents=True, exist_ok=True)
        graph = load(self.folder / "pretrained")
        compressor = Compressor(graph, self.data, self.experiment.config.compress, recipe, self.seed)
        return compressor.run(work).graph


def _file_name(row: str) -> str:
    return row.replace(", ", "-")


def table(network: str, cases: Sequence[Case], rows: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a network's table: rows that some seed has, with the seeds that float has too."""
    cases = [case for case in cases if case.is_measured(FLOAT)]
    yield f"## {network}"
    yield ""
    if not cases:
        yield "not measured yet"
        return
    _, labels = tensors(cases[0].data, "test")
    seeds = [f"seed {case.seed}" for case in cases]
    yield f"| | {' | '.join(seeds)} | mean | against float, points | 95 % interval | bytes | deflated | seconds |"
    yield "|---" * (len(seeds) + 7) + "|"
    gains: dict[int, dict[str, float]] = {}
    for row in (FLOAT, *rows):
        there = [case for case in cases if case.is_measured(row)]
        if not there:
            continue
        top1 = {c.seed: 100 * float((np.load(c.predictions(row)) == labels).mean()) for c in there}
        figures = [Figures(**json.loads(case.figures(row).read_text())) for case in there]
        own, reference = (np.concatenate([np.load(c.predictions(r)) for c in there]) for r in (row, FLOAT))
        drop = paired_drop(reference, own, np.tile(labels, len(there)))
        against = ["", ""]
        if row != FLOAT:
            against = [f"{-drop.points:+.2f}", f"{-drop.high:+.2f} to {-drop.low:+.2f}"]
            gains.setdefault(ROWS[row][0], {})[row] = -drop.points
        cells = [f"{top1[case.seed]:.2f}" if case.seed in top1 else "" for case in cases]
        cells += [f"{fmean(top1.values()):.2f}", *against]
        cells += [f"{figures[0].bytes:,}", f"{figures[0].deflated:,}", f"{fmean(f.seconds for f in figures):.0f}"]
        yield f"| {row} | {' | '.join(cells)} |"
    yield ""
    yield from _aims(gains)


def _aims(gains: Mapping[int, Mapping[str, float]]) -> Iterator[str]:
    for bits, allowed in AIMS.items():
        if bits in gains:
            best = max(gains[bits], key=lambda row: gains[bits][row])
            met = "yes" if gains[bits][best] >= -allowed else "no"
            yield f"* best of W{bits}A8 >= float - {allowed:g}: {met} ({gains[bits][best]:+.2f}, {best})"
    yield ""


def page(cases: Mapping[str, Sequence[Case]], rows: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the page."""
    budget = next(iter(cases.values()))[0].experiment.budget
    yield "# Weights of few bits"
    yield ""
    yield from heading()
    yield (
        f"* {budget.float_epochs} float epochs, then {budget.qat_epochs} for int8; batches and learning rates are the "
        "defaults; first and last layer at 8 bits below 8"
    )
    yield "* every figure is measured on the .tflite file, with LiteRT on all test pictures"
    yield "* intervals: of the paired difference over the pictures of all seeds together"
    yield ""
    for network, own in cases.items():
        yield from table(network, own, rows)


def main(argv: Sequence[str]) -> None:
    """Measure what is missing, each row in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, models and predictions; kept")
    parser.add_argument("--dataset", choices=tuple(CONFIGURATIONS), default="fashion")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=tuple(ROWS), metavar="ROW")
    parser.add_argument("--float-epochs", type=int, help="default: 6 for fashion, 12 for digits")
    parser.add_argument("--qat-epochs", type=int, help="default: 2 for fashion, 10 for digits")
    parser.add_argument("--threads", type=int, default=2, help="of TensorFlow and LiteRT")
    parser.add_argument("--table", action="store_true", help="only print the table of the rows so far")
    parser.add_argument("--only", nargs=3, metavar=("NETWORK", "SEED", "ROW"), help="measure this alone; no table")
    arguments = parser.parse_args(argv)
    work, dataset = arguments.work, arguments.dataset
    if arguments.only and (arguments.only[0] not in NETWORKS or arguments.only[2] not in (FLOAT, *ROWS)):
        raise UserError(f"--only: NETWORK is one of {', '.join(NETWORKS)}; ROW one of {'; '.join((FLOAT, *ROWS))}")
    asked = {n: experiment(dataset, arguments.float_epochs, arguments.qat_epochs, n) for n in arguments.networks}
    if arguments.only:
        name = arguments.only[0]
        asked = {name: experiment(dataset, arguments.float_epochs, arguments.qat_epochs, name)}
    folder = work / "data" / dataset
    first = next(iter(asked.values()))
    data = read_manifest(folder) if (folder / "manifest.json").is_file() else prepared(first.config, folder)

    def case(network: str, seed: int) -> Case:
        budget = asked[network].budget
        own = work / f"{dataset}-{budget.float_epochs}-{budget.qat_epochs}" / network / f"seed-{seed}"
        own.mkdir(parents=True, exist_ok=True)
        return Case(asked[network], data, own, seed, arguments.threads)

    if arguments.only:
        network, seed, row = arguments.only
        if not case(network, int(seed)).is_measured(row):
            case(network, int(seed)).measure(row)
        return
    cases = {network: [case(network, seed) for seed in arguments.seeds] for network in asked}
    failed = []
    for network, own in cases.items():
        for one in () if arguments.table else own:
            for row in (FLOAT, *arguments.rows):
                if one.is_measured(row):
                    continue
                print(f"== {network}, seed {one.seed}, {row}", file=sys.stderr, flush=True)
                again = [sys.executable, __file__, *argv, "--only", network, str(one.seed), row]
                if status := subprocess.run(again, stdout=sys.stderr, check=False).returncode:
                    failed.append(f"{network}, seed {one.seed}, {row} (status {status})")
    print("\n".join(page(cases, arguments.rows)))
    if failed:
        raise UserError(f"not measured: {'; '.join(failed)}")


if __name__ == "__main__":
    entry(main)
