"""Tell which candidate of a search is the best, and what all of them came to."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.search.conclude import conclude


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", required=True, help="class of the strategy that searches")
    parser.add_argument("--metric", required=True, help="name of the metric")
    parser.add_argument("--rounds", type=Path, nargs="+", required=True, help="candidates.json of each round, in order")
    parser.add_argument("--candidates", type=Path, nargs="+", required=True, help="folder of each evaluated candidate")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    arguments = parser.parse_args(argv)
    conclude(arguments.strategy, arguments.metric, arguments.rounds, arguments.candidates, arguments.output)


if __name__ == "__main__":
    entry(main)
