"""Make pretrain/<name>_pretrained/: float weights, trained here or read from a file or both, and their top-1."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.flags import add_flags, read_flags, within
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.pretrained.prepare import Source, prepare


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--weights", type=Path, help="file or SavedModel folder to read the weights from")
    parser.add_argument("--own-weights", action="store_true", help="take the weights that the model's file has")
    parser.add_argument("--train", action="store_true", help="train the weights on the data")
    parser.add_argument(
        "--expected-top1", type=within(float, 0, 100), help="published top-1 of the weights, in percent"
    )
    parser.add_argument(
        "--top1-tolerance", type=within(float, 0, 100), default=0.0, help="how far below it they may be, in points"
    )
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training's state")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    add_flags(parser, ModelSection)
    add_flags(parser, FloatTrainingSection)
    add_flags(parser, HardwareSection)
    arguments = parser.parse_args(argv)
    prepare(
        Source(
            arguments.weights,
            arguments.own_weights,
            arguments.train,
            arguments.expected_top1,
            arguments.top1_tolerance,
        ),
        read_flags(arguments, ModelSection),
        read_flags(arguments, FloatTrainingSection),
        arguments.data,
        arguments.output,
        arguments.work,
        arguments.seed,
        arguments.threads,
        read_flags(arguments, HardwareSection),
    )


if __name__ == "__main__":
    entry(main)
