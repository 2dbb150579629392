"""Put several experiments side by side: a table, a CSV file, the Pareto picture, and one page."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.report import comparison_page
from qatflow.report.comparison import Line, as_csv, lines
from qatflow.report.comparison_page import pareto_picture


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiment", nargs="+", action="append", required=True, metavar=("FOLDER", "KEY=VALUE"),
        help="results/<experiment>, and of it: shipped=ptq, qat or ready; devices=NAME,NAME where its gate is open; "
        "training=FILE, the benchmark file of the training, where there was one",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder of table, CSV, picture and page")
    arguments = parser.parse_args(argv)
    output = arguments.output
    shown = [line for experiment in arguments.experiment for line in _lines(parser, *experiment)]
    write_text(output / "comparison.csv", as_csv(shown))
    write_text(output / "comparison.txt", comparison_page.text(shown))
    pareto_picture(shown, output / "pareto.svg")
    write_text(output / "comparison.html", comparison_page.page(shown, output / "pareto.svg"))


def _lines(parser: argparse.ArgumentParser, folder: str, *more: str) -> Iterator[Line]:
    said = dict(word.partition("=")[::2] for word in more)
    if "shipped" not in said or said.keys() - {"shipped", "devices", "training"}:
        parser.error(f"--experiment {folder}: give its folder, shipped=, and perhaps devices= and training=")
    devices = list(filter(None, said.get("devices", "").split(",")))
    return lines(Path(folder), said["shipped"], devices, Path(said["training"]) if "training" in said else None)


if __name__ == "__main__":
    entry(main)
