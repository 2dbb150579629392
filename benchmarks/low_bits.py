"""Weights of few bits: top-1 by width and by type of quantisation, for two networks and several seeds.

    python benchmarks/low_bits.py --work /tmp/low_bits > benchmarks/low_bits.md

Run it in the repository's root. Each network is trained in float once per seed, and each row goes on from there. What a
finished row computes is kept in WORK; a training that was interrupted goes on where it was. `--only NETWORK SEED ROW`
measures a single row, such as `--only MobileNetV1 1 "W2A8, lsq"`, and makes the float model first where it is missing.
`--costs` then measures time and instructions of the first seed's models. Progress goes to stderr.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import CONFIGURATIONS, experiment, prepared
from low_bits_case import FLOAT, ROWS, Case, Recipe
from low_bits_costs import measure_costs
from low_bits_table import page
from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from qatflow.data.manifest import read_manifest

NETWORKS = ("MobileNetV1", "MobileNetV3Small")
SEEDS = (1, 2, 3)


def measure(cases: Sequence[Case], rows: Sequence[str], again: Sequence[str], networks: Sequence[str]) -> list[str]:
    """Measure what is missing, each row in a process of its own; return what failed.

    Args:
        cases: each network and seed.
        rows: besides float.
        again: the command line of this program.
        networks: of the cases, in their order.
    """
    failed = []
    for network, case in zip(networks, cases, strict=True):
        for row in (FLOAT, *rows):
            if case.is_measured(row):
                continue
            print(f"== {network}, seed {case.seed}, {row}", file=sys.stderr, flush=True)
            command = [sys.executable, __file__, *again, "--only", network, str(case.seed), row]
            if status := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
                failed.append(f"{network}, seed {case.seed}, {row} (status {status})")
    return failed


def main(argv: Sequence[str]) -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of data, models and predictions; kept")
    parser.add_argument("--dataset", choices=tuple(CONFIGURATIONS), default="fashion")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=tuple(ROWS), metavar="ROW")
    parser.add_argument("--float-epochs", type=int, help="default: 6 for fashion, 12 for digits")
    parser.add_argument("--qat-epochs", type=int, help="default: 2 for fashion, 10 for digits")
    parser.add_argument("--learning-rate", type=float, help="of training for int8; default: the configuration's")
    parser.add_argument("--distil", action="store_true", help="from the float model, beside the labels")
    parser.add_argument("--threads", type=int, default=2, help="of TensorFlow and LiteRT")
    parser.add_argument("--costs", action="store_true", help="measure time and instructions, and print the table")
    parser.add_argument("--table", action="store_true", help="only print the table of the rows so far")
    parser.add_argument("--only", nargs=3, metavar=("NETWORK", "SEED", "ROW"), help="measure this alone; no table")
    arguments = parser.parse_args(argv)
    work, dataset = arguments.work, arguments.dataset
    if arguments.only and (arguments.only[0] not in NETWORKS or arguments.only[2] not in (FLOAT, *ROWS)):
        raise UserError(f"--only: NETWORK is one of {', '.join(NETWORKS)}; ROW one of {'; '.join((FLOAT, *ROWS))}")
    names = [arguments.only[0]] if arguments.only else arguments.networks
    asked = {name: experiment(dataset, arguments.float_epochs, arguments.qat_epochs, name) for name in names}
    folder = work / "data" / dataset
    first = asked[names[0]]
    data = read_manifest(folder) if (folder / "manifest.json").is_file() else prepared(first.config, folder)
    recipe = Recipe(first.budget.qat_epochs, arguments.learning_rate, arguments.distil)

    def case(network: str, seed: int) -> Case:
        own = work / f"{dataset}-{first.budget.float_epochs}" / network / f"seed-{seed}"
        return Case(asked[network], data, own, seed, arguments.threads, recipe)

    if arguments.only:
        network, seed, row = arguments.only
        if not case(network, int(seed)).is_measured(row):
            case(network, int(seed)).measure(row)
        return
    cases = {network: [case(network, seed) for seed in arguments.seeds] for network in asked}
    failed = []
    if not (arguments.table or arguments.costs):
        order = [(network, one) for network, own in cases.items() for one in own]
        failed = measure([one for _, one in order], arguments.rows, argv, [network for network, _ in order])
    if arguments.costs:
        for own in cases.values():
            measure_costs(own[0], arguments.rows, work / "demo")
    print("\n".join(page(cases, arguments.rows)))
    if failed:
        raise UserError(f"not measured: {'; '.join(failed)}")


if __name__ == "__main__":
    entry(main)
