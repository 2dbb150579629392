"""Make pretrain/<name>_pretrained/: float weights, trained here or read from a Keras .h5 file, and their top-1."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.config.flags import add_flags, read_flags
from qatflow.config.model import FloatTrainingSection, ModelSection
from qatflow.pretrained.prepare import prepare_by_training, prepare_from_file


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--weights", type=Path, help=".h5 file to read the weights from; without it they are trained")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    parser.add_argument("--threads", type=int, default=2, help="threads TensorFlow uses")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training's state")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    add_flags(parser, ModelSection)
    add_flags(parser, FloatTrainingSection)
    arguments = parser.parse_args(argv)
    model = read_flags(arguments, ModelSection)
    if arguments.weights is not None:
        prepare_from_file(arguments.weights, model, arguments.data, arguments.output, arguments.threads)
    else:
        training = read_flags(arguments, FloatTrainingSection)
        prepare_by_training(
            model, training, arguments.data, arguments.output, arguments.work, arguments.seed, arguments.threads
        )


if __name__ == "__main__":
    entry(main)
