"""Put several experiments side by side: a table, a CSV file, the Pareto picture, and one page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.cli import entry
from qatflow.files import write_text
from qatflow.report import comparison_page
from qatflow.report.comparison import Line, as_csv, line
from qatflow.report.pareto_picture import pareto_picture


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiment", nargs="+", action="append", required=True, metavar=("FOLDER", "DEVICE"),
        help="results/<experiment>, the device's name, and the benchmark file of the training where there was one",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder of table, CSV, picture and page")
    arguments = parser.parse_args(argv)
    output = arguments.output
    lines = [_line(parser, *experiment) for experiment in arguments.experiment]
    write_text(output / "comparison.csv", as_csv(lines))
    write_text(output / "comparison.txt", comparison_page.text(lines))
    pareto_picture(lines, output / "pareto.svg")
    write_text(output / "comparison.html", comparison_page.page(lines, output / "pareto.svg"))


def _line(parser: argparse.ArgumentParser, folder: str, device: str = "", training: str = "", *more: str) -> Line:
    if not device or more:
        parser.error(f"--experiment {folder}: give its folder, its device, and at most one more")
    return line(Path(folder), device, Path(training) if training else None)


if __name__ == "__main__":
    entry(main)
