"""Make pretrain/<name>_pretrained/: float weights, trained here or read from a file or both, and their top-1."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import add_section
from qatflow.config.sections.pretrained import PretrainedSection
from qatflow.pretrained.prepare import WeightsSource, prepare


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument(
        "--weights",
        type=Path,
        help="file or SavedModel folder to read the weights from, unless source is train or model",
    )
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training's state")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    add_section(parser, "model", ModelSection)
    read = ("source", "fine_tune", "expected_top1", "top1_tolerance", "train")
    add_section(parser, "pretrained", PretrainedSection, only=read)
    add_section(parser, "hardware", HardwareSection)
    arguments = parser.parse_args(argv)
    prepare(
        source=WeightsSource.of(arguments.pretrained, arguments.weights),
        model=arguments.model,
        training=arguments.pretrained.train,
        data=arguments.data,
        output=arguments.output,
        work=arguments.work,
        seed=arguments.seed,
        threads=arguments.threads,
        hardware=arguments.hardware,
    )


if __name__ == "__main__":
    entry(main)
