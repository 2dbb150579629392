"""The gate before the device: whether int8 loses more accuracy, or has more bytes, than is allowed."""

import argparse
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.config.sections.model import QuantizedModelSection
from qatflow.config.sections.options import add_section
from qatflow.evaluate.gate import Published, gate

STATES = {
    "open": "the accuracy gate is open",
    "undecided": "the accuracy gate is open, undecided: the validation pictures are too few",
}


def limits(text: str) -> dict[str, int]:
    """Return device.max_bytes of each device, by the device's name; a `type` for argparse."""
    with contextlib.suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict) and all(type(value) is int and value > 0 for value in found.values()):
            return found
    raise argparse.ArgumentTypeError(f"must be a mapping of devices to bytes as JSON; got {text!r}")


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--float", type=Path, help="float .tflite, where there is one", dest="float_model")
    parser.add_argument("--int8", type=Path, required=True, help="int8 .tflite that is to go to the device")
    parser.add_argument("--ptq", type=Path, help="the one quantised after training, where --int8 is a trained one")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--max-bytes", type=limits, default={}, help="device.max_bytes of each device, as JSON")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="processes that run pictures")
    parser.add_argument("--output", type=Path, required=True, help="gate.json to write")
    add_section(parser, "accuracy", AccuracySection)
    add_section(parser, "quantized-model", QuantizedModelSection, only=("expected_top1", "top1_tolerance"))
    arguments = parser.parse_args(argv)
    measured = gate(
        float_model=arguments.float_model,
        int8_model=arguments.int8,
        ptq_model=arguments.ptq,
        data=arguments.data,
        section=arguments.accuracy,
        output=arguments.output,
        published=Published.of(arguments.quantized_model),
        cores=arguments.cores,
        max_bytes=arguments.max_bytes,
    )
    print("\n".join([measured.reason or STATES[measured.outcome], *measured.lines]))


if __name__ == "__main__":
    entry(main)
