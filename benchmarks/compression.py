"""What each compression strategy costs and gains: top-1, parameters, FLOPs, bytes, latency and instructions.

    python benchmarks/compression.py > benchmarks/compression.md

Run it in the repository's root: the workflow itself makes the models, in results/, as experiments of one configuration,
and an interrupted run continues. The data set is Fashion-MNIST, with several seeds and the same number of epochs for
all models: float training only, or float training and compression. Progress goes to stderr.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from compression_latency import large
from compression_table import model_file, page
from compression_variants import VARIANTS, Budget, experiments
from qatflow.base.cli import entry
from qatflow.base.errors import UserError
from size_and_latency import latencies

OVERLAY = Path("results/compression_benchmark.json")
TARGETS = ("report",)


def main(argv: Sequence[str]) -> None:
    """Make the missing models, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--float-epochs", type=int, default=4)
    parser.add_argument("--compress-epochs", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="make no models: only measure and print existing ones")
    parser.add_argument("--rounds", type=int, default=10, help="latency rounds; in each, every model is timed in turn")
    parser.add_argument("--repeats", type=int, default=20, help="timed runs per model and round")
    parser.add_argument("snakemake", nargs="*", help="further arguments for Snakemake, after --")
    arguments = parser.parse_args(argv)
    budget = Budget(arguments.float_epochs, arguments.compress_epochs)
    if not arguments.table:
        OVERLAY.parent.mkdir(exist_ok=True)
        OVERLAY.write_text(json.dumps(experiments(arguments.seeds, budget), indent=2))
        command = ["snakemake", "--cores", "2", "--configfile", str(OVERLAY), *arguments.snakemake, "--", *TARGETS]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise UserError("the workflow ended with an error, see above; run this again to continue")
    files = {variant: model_file(variant, arguments.seeds[0]) for variant in VARIANTS}
    content = {variant: path.read_bytes() for variant, path in files.items() if path.is_file()}
    host = latencies(content, arguments.rounds, 20 * arguments.repeats)
    thin = large(arguments.rounds, arguments.repeats)
    runs = f"{arguments.rounds} rounds, the models taking turns"
    print(page(arguments.seeds, budget, tuple(VARIANTS), host, thin, runs))


if __name__ == "__main__":
    entry(main)
