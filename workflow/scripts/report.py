"""Gather an experiment's figures: summary.json, the table, learning curves and the confusion picture."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.base.sums import check, read_checked
from qatflow.device.results.report import read_report
from qatflow.evaluate.layers import read_layers
from qatflow.report import table
from qatflow.report.classes import worst_classes
from qatflow.report.page import page
from qatflow.report.pictures import confusion_picture, learning_curves, ranges_picture
from qatflow.report.pruning import sensitivity_pictures
from qatflow.report.search import search_picture
from qatflow.report.summary import summarise


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="name of the experiment")
    parser.add_argument("--shipped", choices=["ptq", "qat", "ready"], required=True, help="what went to the device")
    parser.add_argument("--evaluation", type=Path, required=True, help="evaluation.json")
    parser.add_argument("--gate", type=Path, required=True, help="gate.json")
    parser.add_argument("--layers", type=Path, help="layers.json of inspect_layers.py, where there is a float model")
    parser.add_argument("--devices", type=Path, nargs="*", default=[], help="report.json of each device run")
    parser.add_argument("--demos", type=Path, nargs="*", default=[], help="output.txt of each, in the same order")
    parser.add_argument("--float-history", type=Path, help="history.csv of the float training, where there was one")
    parser.add_argument("--pretrained", type=Path, help="manifest.json of the float weights, where there are some")
    parser.add_argument("--history", type=Path, help="history.csv of the training for int8, where there was one")
    parser.add_argument("--trained", type=Path, help="manifest.json of the trained graph, where there is one")
    parser.add_argument("--search", type=Path, help="best.json of the search before training, where there was one")
    parser.add_argument("--summary", type=Path, required=True, help="summary.json to write")
    parser.add_argument("--output", type=Path, required=True, help="folder for table and pictures")
    arguments = parser.parse_args(argv)
    devices = [read_report(path) for path in arguments.devices]
    demos = [read_checked(path).decode() for path in arguments.demos]
    inputs = [arguments.evaluation, arguments.gate, *arguments.devices, *arguments.demos]
    summary = summarise(
        arguments.experiment,
        arguments.shipped,
        arguments.evaluation,
        arguments.gate,
        list(zip(devices, demos, strict=True)),
        arguments.summary,
        inputs=[*inputs, *filter(None, [arguments.pretrained, arguments.trained, arguments.search])],
        pretrained=arguments.pretrained,
        trained=arguments.trained,
        search=arguments.search,
    )
    write_text(arguments.output / "summary.txt", table.text(summary))
    histories = {"float": arguments.float_history, "int8": arguments.history}
    histories = {name: path for name, path in histories.items() if path is not None}
    for path in histories.values():
        check(path)
    learning_curves(histories, arguments.output / "learning_curves.svg")
    confusion_picture(arguments.evaluation, arguments.shipped, arguments.output / "confusion.svg")
    layers = read_layers(arguments.layers) if arguments.layers is not None else []
    ranges_picture(layers, arguments.output / "ranges.svg")
    pictures = {
        **({"Learning curves": arguments.output / "learning_curves.svg"} if histories else {}),
        **({"Ranges of the layers": arguments.output / "ranges.svg"} if layers else {}),
        "Confusion": arguments.output / "confusion.svg",
    }
    classes = worst_classes(arguments.evaluation, arguments.shipped)
    with tempfile.TemporaryDirectory() as folder:  # only the page has them: most experiments have none
        pictures |= sensitivity_pictures(summary.pruning, Path(folder))
        if summary.search is not None:
            search_picture(summary.search, Path(folder, "search.svg"))
            pictures["Candidates of the search"] = Path(folder, "search.svg")
        write_text(arguments.output / "report.html", page(summary, devices, layers, pictures, classes))


if __name__ == "__main__":
    entry(main)
