"""Evaluate the fake-quantised graph on the test pictures, in TensorFlow."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.flags import add_flags, read_flags, within
from qatflow.config.sections.hardware import HardwareSection
from qatflow.evaluate.fake_quant import evaluate_fake_quant


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder float/ or int8/")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    add_flags(parser, HardwareSection)
    arguments = parser.parse_args(argv)
    found = evaluate_fake_quant(
        arguments.model,
        arguments.data,
        arguments.output,
        arguments.threads,
        read_flags(arguments, HardwareSection),
    )
    print(f"fake-quantised: top-1 {found.top1:.4f}, top-5 {found.top5:.4f} on {found.pictures} test pictures")


if __name__ == "__main__":
    entry(main)
