"""Measure on a device each operator that the networks of a search can have; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.device import LATENCY_KEYS, DeviceSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import add_section
from qatflow.device.run.operator_latency import LatencySettings, measure
from qatflow.search.operators import operators_of
from qatflow.search.start import setup
from qatflow.tflite.latency_table import write_table


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of the experiment")
    parser.add_argument("--library", type=Path, required=True, help="the built demo, inference_lite_lib.<target>")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps what is measured")
    parser.add_argument("--output", type=Path, required=True, help="latency_table.json to write")
    add_recipe(parser)
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    add_section(parser, "device", DeviceSection, only=LATENCY_KEYS)
    arguments = parser.parse_args(argv)
    begun = setup(
        recipe_of(arguments),
        pretrained=arguments.pretrained,
        seed=arguments.seed,
        keep_in_float=arguments.model.keep_in_float,
    )
    settings, operators = LatencySettings.of(arguments.device), operators_of(begun)
    write_table(arguments.output, measure(settings, operators, library=arguments.library, state=arguments.work))


if __name__ == "__main__":
    entry(main)
