"""Pack the optimised model for the download: weights of fewer than 8 bits take only their bits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.optimize.pack import pack_model


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help=".tflite file to pack")
    parser.add_argument("--output", type=Path, required=True, help="packed file to write")
    arguments = parser.parse_args(argv)
    size, packed = pack_model(arguments.model, arguments.output)
    print(f"packed model: {arguments.output}, {packed} bytes, {packed / size:.3f} of {size}")


if __name__ == "__main__":
    entry(main)
