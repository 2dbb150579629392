"""Top-1 of models trained for int8, against float, post-training quantisation and stock tfmot, over several seeds.

    python benchmarks/trained_accuracy.py --work /tmp/trained_accuracy > benchmarks/trained_accuracy.md

Run it in the repository's root. Each finished measurement is a line of WORK/results.jsonl and is not repeated, so an
interrupted run continues with the next one. Use a new folder after a change of the code. Progress goes to stderr.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from accuracy_results import Result, append, read
from accuracy_table import table
from experiments import CONFIGURATIONS, Experiment, experiment, prepared
from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.base.metrics import accuracy
from qatflow.base.provenance import commit
from qatflow.data.manifest import FILE, Manifest, read_manifest
from qatflow.data.reader import tensors
from qatflow.graph.store import load
from qatflow.pretrained.prepare import WeightsSource, prepare
from qatflow.tflite.run import Model
from qatflow.training.from_config import float_training
from qatflow.training.runtime import start
from qatflow.training.settings import TrainingSettings
from variants import FLOAT, VARIANTS, Case

SEEDS = (1, 2, 3)
RESULTS = "results.jsonl"


def measure(experiment: Experiment, dataset: str, seed: int, variant: str, work: Path, threads: int) -> Result:
    """Make and measure one .tflite file; the float model must be made before the others."""
    data = read_manifest(work / "data" / dataset)
    budget = experiment.budget
    folder = work / f"{dataset}-{budget.float_epochs}-{budget.qat_epochs}" / f"seed-{seed}"
    began = time.monotonic()
    if variant == FLOAT:
        _train_float(experiment, data, folder, seed, threads)
    else:
        start(seed, threads)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        case = Case(experiment, load(folder / "pretrained"), data, seed, Path(scratch))
        content = VARIANTS[variant](case)
    seconds = time.monotonic() - began
    (folder / f"{variant}.tflite").write_bytes(content)
    inputs, labels = tensors(data, "test")
    measured = accuracy(Model(content, threads).outputs(inputs), labels)
    trained = _float_settings(experiment, data, seed) if variant == FLOAT else case.settings
    return Result(
        dataset=dataset,
        seed=seed,
        variant=variant,
        top1=measured.top1,
        bytes=len(content),
        seconds=round(seconds, 1),
        pictures=measured.pictures,
        budget=budget,
        learning_rate=trained.learning_rate,
        batch_size=trained.batch_size,
        commit=str(commit()),
    )


def _float_settings(experiment: Experiment, data: Manifest, seed: int) -> TrainingSettings:
    section, pictures = experiment.config.pretrained.train, data.splits["train"].count
    return float_training(section, pictures, seed, loaded=False, new_head=None).settings


def _train_float(experiment: Experiment, data: Manifest, folder: Path, seed: int, threads: int) -> None:
    """Do the same as the rule make_pretrained."""
    model, training = experiment.config.model, experiment.config.pretrained.train
    output, state = folder / "pretrained", folder / "state"
    source = WeightsSource(None, own=False, train=True)
    prepare(source, model, training, data.folder / FILE, output, state, seed, threads)


def measure_all(experiments: dict[str, Experiment], seeds: Sequence[int], work: Path, again: list[str]) -> list[str]:
    """Measure what is missing, each variant in a separate process: TensorFlow keeps the state of a finished training.

    Returns what could not be measured.

    Args:
        experiments: by data set.
        seeds: of the trainings.
        work: folder of data, models and results.
        again: this program's arguments to repeat in each process, without `--only`.
    """
    failed = []
    budgets = {dataset: e.budget for dataset, e in experiments.items()}
    for dataset in experiments:
        for seed in seeds:
            for variant in VARIANTS:
                if (dataset, seed, variant) in read(work / RESULTS, budgets):
                    continue
                print(f"== {dataset}, seed {seed}, {variant}", file=sys.stderr, flush=True)
                only = ["--only", dataset, str(seed), variant]
                done = subprocess.run([sys.executable, __file__, *again, *only], stdout=sys.stderr, check=False)
                if done.returncode:
                    failed.append(f"{dataset}, seed {seed}, {variant} (status {done.returncode})")
    return failed


def main(argv: Sequence[str]) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, models and results; kept")
    parser.add_argument("--datasets", nargs="+", choices=tuple(CONFIGURATIONS), default=tuple(CONFIGURATIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--float-epochs", type=int, help="default: 6 for fashion, the configuration's for digits")
    parser.add_argument("--qat-epochs", type=int, help="default: 2 for fashion, the configuration's for digits")
    parser.add_argument("--threads", type=int, default=2, help="of TensorFlow and LiteRT")
    parser.add_argument("--table", action="store_true", help="only print the table of the results so far")
    parser.add_argument("--only", nargs=3, metavar=("DATASET", "SEED", "VARIANT"), help="measure only this")
    arguments = parser.parse_args(argv)
    work: Path = arguments.work
    wanted = {d: experiment(d, arguments.float_epochs, arguments.qat_epochs) for d in arguments.datasets}
    if arguments.only:
        dataset, seed, variant = arguments.only
        append(work / RESULTS, measure(wanted[dataset], dataset, int(seed), variant, work, arguments.threads))
        return
    skipped: dict[str, str] = {}
    failed: list[str] = []
    if not arguments.table:
        work.mkdir(parents=True, exist_ok=True)
        for dataset in arguments.datasets:
            try:
                prepared(wanted[dataset].config, work / "data" / dataset)
            except UserError as error:
                skipped[dataset] = f"skipped: {error}"
                print(f"{dataset}: {skipped[dataset]}", file=sys.stderr, flush=True)
        there = {dataset: e for dataset, e in wanted.items() if dataset not in skipped}
        failed = measure_all(there, arguments.seeds, work, list(argv))
    results = read(work / RESULTS, {dataset: e.budget for dataset, e in wanted.items()})
    print(table(list(results.values()), arguments.datasets, arguments.seeds, skipped))
    if failed:
        raise UserError(f"not measured: {'; '.join(failed)}")


if __name__ == "__main__":
    entry(main)
