"""Evaluate the fake-quantised graph on the test pictures, in TensorFlow."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.base.measure import ACCURACY, AGREEMENT
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.options import add_section
from qatflow.evaluate.fake_quant import evaluate_fake_quant

NAMES = {"top1": ACCURACY.name, "top5": ACCURACY.best5, AGREEMENT.key: AGREEMENT.name}


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder float/ or int8/")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    add_section(parser, "hardware", HardwareSection)
    arguments = parser.parse_args(argv)
    figures = evaluate_fake_quant(
        exported=arguments.model,
        data=arguments.data,
        output=arguments.output,
        threads=arguments.threads,
        hardware=arguments.hardware,
    )
    pictures = figures.pop("pictures")
    shares = ", ".join(f"{NAMES[key]} {value:.4f}" for key, value in figures.items())
    print(f"fake-quantised: {shares} on {pictures} test pictures")


if __name__ == "__main__":
    entry(main)
