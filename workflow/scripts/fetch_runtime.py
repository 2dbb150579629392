"""Fetch the LiteRT library that the demo is linked with, from the wheel that the lock file pins."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.device.build.elf import MACHINES
from qatflow.device.build.runtime import fetch_runtime


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and fetch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requirements", type=Path, required=True, help="lock file with hashes")
    parser.add_argument("--machine", choices=sorted(MACHINES), required=True, help="processor of the target")
    parser.add_argument("--output", type=Path, required=True, help="libLiteRt.so; a .json beside it tells its version")
    arguments = parser.parse_args(argv)
    fetch_runtime(arguments.requirements, arguments.machine, arguments.output)


if __name__ == "__main__":
    entry(main)
