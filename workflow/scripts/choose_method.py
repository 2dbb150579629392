"""Choose between quantisation after training and training for int8, by what the first costs in accuracy."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.config.sections.options import add_section
from qatflow.ptq.choose import choose_method


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--float", type=Path, required=True, help="float .tflite", dest="float_model")
    parser.add_argument("--ptq", type=Path, required=True, help="int8 .tflite quantised after training")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument("--output", type=Path, required=True, help="method.json to write")
    add_section(parser, "accuracy", AccuracySection, only=("max_drop", "undecided"))
    arguments = parser.parse_args(argv)
    section = arguments.accuracy
    method, cost = choose_method(
        arguments.float_model, arguments.ptq, arguments.data, section, arguments.output, arguments.cores
    )
    print(f"{cost}; accuracy.max_drop is {section.max_drop}: {method}")


if __name__ == "__main__":
    entry(main)
