"""Gather an experiment's figures: summary.json, the table, the page, its pictures, and colours for Model Explorer."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.report.pages.write import write_report
from qatflow.report.summary import Sources, summarise


def limits(text: str) -> list[dict[str, float | None]]:
    """Return the limits of each device, by their keys: a list in JSON, null where there is none."""
    values = json.loads(text)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise argparse.ArgumentTypeError(f"must be a list of objects, as JSON; got {text!r}")
    return values


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", required=True, help="name of the experiment")
    parser.add_argument("--shipped", choices=["ptq", "qat", "ready"], required=True, help="what went to the device")
    parser.add_argument("--evaluation", type=Path, required=True, help="evaluation.json")
    parser.add_argument("--gate", type=Path, required=True, help="gate.json")
    parser.add_argument("--model", type=Path, required=True, help=".tflite file that went to the device")
    parser.add_argument("--float-model", type=Path, help="float .tflite file, where there is one")
    parser.add_argument("--packed", type=Path, help="its packed form, where there is one")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the data")
    parser.add_argument("--layers", type=Path, help="layers.json of inspect_layers.py, where there is a float model")
    parser.add_argument("--devices", type=Path, nargs="*", default=[], help="report.json of each device run")
    parser.add_argument("--demos", type=Path, nargs="*", default=[], help="output.txt of each, in the same order")
    parser.add_argument("--device-limits", type=limits, default=[], help="limits of each, as JSON")
    parser.add_argument("--float-history", type=Path, help="history.csv of the float training, where there was one")
    parser.add_argument("--pretrained", type=Path, help="manifest.json of the float weights, where there are some")
    parser.add_argument("--history", type=Path, help="history.csv of the training for int8, where there was one")
    parser.add_argument("--trained", type=Path, help="manifest.json of the trained graph, where there is one")
    parser.add_argument("--search", type=Path, help="best.json of the search before training, where there was one")
    parser.add_argument("--widths", type=Path, help="widths.json of the choice of widths, where there was one")
    parser.add_argument("--stages", type=Path, nargs="*", default=[], help="Snakemake's benchmark files")
    parser.add_argument("--compared", action="store_true", help="there will be a comparison, to which the page leads")
    parser.add_argument("--summary", type=Path, required=True, help="summary.json to write")
    parser.add_argument("--output", type=Path, required=True, help="folder for table and pictures")
    arguments = parser.parse_args(argv)
    histories = {"float": arguments.float_history, "int8": arguments.history}
    sources = Sources(
        experiment=arguments.experiment,
        shipped=arguments.shipped,
        evaluation=arguments.evaluation,
        gate=arguments.gate,
        model=arguments.model,
        data=arguments.data,
        devices=arguments.devices,
        demos=arguments.demos,
        limits=arguments.device_limits,
        float_model=arguments.float_model,
        packed=arguments.packed,
        layers=arguments.layers,
        histories={name: path for name, path in histories.items() if path is not None},
        stages=arguments.stages,
        pretrained=arguments.pretrained,
        trained=arguments.trained,
        search=arguments.search,
        widths=arguments.widths,
    )
    summary = summarise(sources, arguments.summary)
    write_report(summary, sources, arguments.summary, arguments.output, compared=arguments.compared)


if __name__ == "__main__":
    entry(main)
