"""Download a file whose SHA-256 is known; several --url are mirrors, tried in turn."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.fetch import LOCAL_PATH, fetch


def main(argv: Sequence[str]) -> None:
    """Run the program with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", action="append", required=True, help="http(s) address; repeat for mirrors")
    parser.add_argument("--sha256", required=True, help="expected SHA-256, 64 hexadecimal digits")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    parser.add_argument("--instead", default=LOCAL_PATH, help="what to do without a network, for the error message")
    arguments = parser.parse_args(argv)
    fetch(arguments.url, arguments.sha256, arguments.output, instead=arguments.instead)


if __name__ == "__main__":
    entry(main)
