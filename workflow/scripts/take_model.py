"""Copy a model's folder that several experiments share into an experiment's own."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.optimize.folder import copy_folder


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder to copy, with optimization.json")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    arguments = parser.parse_args(argv)
    copy_folder(arguments.model, arguments.output)


if __name__ == "__main__":
    entry(main)
