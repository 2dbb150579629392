"""Measure on a device each operator of the networks that a recipe compares; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.device import LATENCY_KEYS, DeviceSection
from qatflow.config.sections.model import ModelSection, kept_by_name
from qatflow.config.sections.options import add_section
from qatflow.device.run.operator_latency import LatencySettings, measure
from qatflow.graph.store import load
from qatflow.mixed_precision import latency
from qatflow.mixed_precision.choose import choosing_settings
from qatflow.search import operators
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
    recipe, kept = recipe_of(arguments), arguments.model.keep_in_float
    section = recipe.quantization.auto_bits
    if section is None:
        models = operators.operators_of(setup(recipe, arguments.pretrained, arguments.seed, keep_in_float=kept))
    else:
        settings = choosing_settings(recipe, kept_by_name(kept))
        models = latency.operators_of(load(arguments.pretrained), settings, section)
    how = LatencySettings.of(arguments.device)
    write_table(arguments.output, measure(how, models, library=arguments.library, state=arguments.work))


if __name__ == "__main__":
    entry(main)
