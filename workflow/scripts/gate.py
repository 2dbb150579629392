"""The accuracy gate: measure whether int8 loses more than is allowed, against float or quantisation after training."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.config.sections.flags import add_flags, read_flags, within
from qatflow.evaluate.gate import Published, gate

STATES = {
    "open": "the accuracy gate is open",
    "undecided": "the accuracy gate is open, undecided: the validation pictures are too few",
}


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--float", type=Path, help="float .tflite, where there is one", dest="float_model")
    parser.add_argument("--int8", type=Path, required=True, help="int8 .tflite that is to go to the device")
    parser.add_argument("--ptq", type=Path, help="the one quantised after training, where --int8 is a trained one")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--output", type=Path, required=True, help="gate.json to write")
    parser.add_argument(
        "--expected-top1", type=within(float, 0, 100), help="published top-1 of the int8 model, in percent"
    )
    parser.add_argument(
        "--top1-tolerance", type=within(float, 0, 100), default=0.0, help="how far below it it may be, in points"
    )
    add_flags(parser, AccuracySection)
    arguments = parser.parse_args(argv)
    section = read_flags(arguments, AccuracySection)
    expected = arguments.expected_top1
    published = None if expected is None else Published(expected, arguments.top1_tolerance)
    found = gate(
        arguments.float_model, arguments.int8, arguments.ptq, arguments.data, section, arguments.output, published
    )
    print("\n".join([found.reason or STATES[found.outcome], *found.said]))


if __name__ == "__main__":
    entry(main)
