"""End the run where a gate is closed: what it measured, and why it is closed, is in its file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.gates import require_open


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gate", type=Path, required=True, help="gate.json or device_gate.json")
    parser.add_argument("--report", type=Path, help="page that is made all the same, to be named where it is closed")
    arguments = parser.parse_args(argv)
    require_open(arguments.gate, arguments.report)


if __name__ == "__main__":
    entry(main)
