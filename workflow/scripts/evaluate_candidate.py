"""Train a candidate of a search for a while, and evaluate it; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.flags import add_flags, read_flags, within
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection
from qatflow.search.evaluate import Evaluation, evaluate
from qatflow.search.start import setup


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--latency", type=Path, help="latency_table.json, where the search limits the latency")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--candidates", type=Path, required=True, help="candidates.json of the round")
    parser.add_argument("--number", type=within(int, 1), required=True, help="which of them")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--work", type=Path, required=True, help="folder for the training's state")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    add_flags(parser, ModelSection, only=("keep_in_float",))
    add_flags(parser, CompressSection, leave_out=("export", "equalize_channels"))
    add_flags(parser, HardwareSection)
    arguments = parser.parse_args(argv)
    section = read_flags(arguments, CompressSection)
    begun = setup(section, arguments.pretrained, arguments.seed, arguments.latency, arguments.keep_in_float)
    how = Evaluation(arguments.data, section, arguments.threads, read_flags(arguments, HardwareSection))
    evaluate(begun, arguments.candidates, arguments.number, how, arguments.work, arguments.output)


if __name__ == "__main__":
    entry(main)
