"""Train a pretrained float model for int8, as a compress YAML says; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.compress.run import compress
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.flags import add_flags, read_flags, within
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--teacher", type=Path, help="folder of the float model that distillation follows")
    parser.add_argument("--search", type=Path, help="best.json of the search, where the YAML has one")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--experiment", type=Path, required=True, help="folder that the YAML's paths are relative to")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--output", type=Path, required=True, help="folder to make for the trained graph")
    add_flags(parser, ModelSection, only=("keep_in_float",))
    add_flags(parser, CompressSection)
    add_flags(parser, HardwareSection)
    arguments = parser.parse_args(argv)
    compress(
        arguments.pretrained,
        arguments.data,
        read_flags(arguments, CompressSection),
        arguments.experiment,
        arguments.output,
        arguments.seed,
        arguments.threads,
        arguments.keep_in_float,
        read_flags(arguments, HardwareSection),
        arguments.teacher,
        arguments.search,
    )


if __name__ == "__main__":
    entry(main)
