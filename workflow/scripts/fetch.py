"""Download a file whose SHA-256, or MD5, is known; several --url are mirrors, tried in turn."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.fetch import LOCAL_PATH, fetch


def main(argv: Sequence[str]) -> None:
    """Run the program with these arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", action="append", required=True, help="http(s) address; repeat for mirrors")
    checksum = parser.add_mutually_exclusive_group(required=True)
    checksum.add_argument("--sha256", help="expected SHA-256, 64 hexadecimal digits")
    checksum.add_argument("--md5", help="expected MD5, 32 hexadecimal digits, where no better sum is published")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    parser.add_argument("--instead", default=LOCAL_PATH, help="what to do without a network, for the error message")
    arguments = parser.parse_args(argv)
    fetch(
        arguments.url,
        arguments.sha256 or arguments.md5,
        arguments.output,
        algorithm="sha256" if arguments.sha256 else "md5",
        instead=arguments.instead,
    )


if __name__ == "__main__":
    entry(main)
