"""Quantise the float model after training, with TensorFlow Lite's converter: the baseline of the report."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.ptq.baseline import quantise_after_training


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--threads", type=int, default=2, help="threads TensorFlow uses")
    parser.add_argument("--output", type=Path, required=True, help=".tflite file to write")
    arguments = parser.parse_args(argv)
    size = quantise_after_training(arguments.pretrained, arguments.data, arguments.output, arguments.threads)
    print(f"{arguments.output}: {size} bytes")


if __name__ == "__main__":
    entry(main)
