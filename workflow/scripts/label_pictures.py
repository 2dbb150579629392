"""Make pretrain/<name>_labelled/: pictures without labels, labelled by the float model's answers."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.inference.answers import label_by_float_model


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float graph")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--cores", type=within(int, 1), default=1, help="number of processes")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    arguments = parser.parse_args(argv)
    labelled = label_by_float_model(arguments.pretrained, arguments.data, arguments.output, arguments.cores)
    pictures = sum(split.count for split in labelled.splits.values())
    print(f"{pictures} pictures labelled by the float model, with {labelled.classes} classes")


if __name__ == "__main__":
    entry(main)
