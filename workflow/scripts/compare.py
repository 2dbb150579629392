"""Put several experiments side by side: a table, a CSV file, pictures of accuracy and cost, and one page."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.base.sums import read_sealed
from qatflow.report import comparison_table
from qatflow.report.comparison import Line, as_csv, differences, lines
from qatflow.report.curves import read_curves
from qatflow.report.drawing.pareto import pareto_file
from qatflow.report.drawing.svg import as_file
from qatflow.report.pages.comparison_page import Comparison, page


@dataclass(frozen=True)
class Experiment:
    """What an option names: the folder, the model that ships, its devices, the benchmark file of its training."""

    folder: Path
    shipped: str
    devices: Sequence[str]
    training: Path | None

    def lines(self) -> Iterator[Line]:
        """Yield its lines."""
        yield from lines(self.folder, self.shipped, self.devices, self.training)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--experiment", nargs="+", action="append", required=True, metavar=("FOLDER", "KEY=VALUE"),
        help="results/<experiment>, with its summary.json, and of it: shipped=ptq, qat or ready; devices=NAME,NAME "
        "where its gate is open; training=FILE, the benchmark file of the training, where there was one",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="folder of table, CSV, picture and page")
    arguments = parser.parse_args(argv)
    output, several = arguments.output, [_experiment(parser, *words) for words in arguments.experiment]
    shown = [line for one in several for line in one.lines()]
    known = differences({one.folder: one.shipped for one in several})
    curves = {one.folder.name: read_curves(read_sealed(one.folder / "summary.json")) for one in several}
    write_text(output / "comparison.csv", as_csv(shown))
    write_text(output / "comparison.txt", comparison_table.text(shown))
    write_text(output / "pareto.svg", as_file(pareto_file(shown, known)))
    write_text(output / "comparison.html", page(Comparison(shown, known, curves)))


def _experiment(parser: argparse.ArgumentParser, folder: str, *more: str) -> Experiment:
    said = dict(word.partition("=")[::2] for word in more)
    if "shipped" not in said or said.keys() - {"shipped", "devices", "training"}:
        parser.error(f"--experiment {folder}: give its folder, shipped=, and perhaps devices= and training=")
    devices = list(filter(None, said.get("devices", "").split(",")))
    return Experiment(Path(folder), said["shipped"], devices, Path(said["training"]) if "training" in said else None)


if __name__ == "__main__":
    entry(main)
