"""Turn a source of labelled pictures into TFRecord shards, labels, a calibration list and a manifest."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.data import DataSection
from qatflow.config.sections.options import add_section
from qatflow.data.preparation.prepare import Settings, prepare


def main(argv: Sequence[str]) -> None:
    """Run the program with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of the splits")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that read pictures")
    parser.add_argument("--output", type=Path, required=True, help="folder to write; replaced whole")
    add_section(parser, "data", DataSection, leave_out=("seed",))
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    manifest = prepare(Settings.of(arguments.data, arguments.seed), arguments.output, arguments.cores)
    counts = ", ".join(f"{split.count} {name}" for name, split in manifest.splits.items())
    print(
        f"{manifest.dataset}: {manifest.classes} classes, {counts}, {manifest.rejected} rejected, "
        f"{manifest.converted} converted, in {time.perf_counter() - start:.1f} s"
    )


if __name__ == "__main__":
    entry(main)
