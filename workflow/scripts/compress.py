"""Train a pretrained float model for int8, as a recipe says; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.compress.run import compress
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.compress import RECIPE_KEYS, CompressSection
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import add_section


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--teacher", type=Path, help="folder of the float model that distillation follows")
    parser.add_argument("--search", type=Path, help="best.json of the search, where the recipe has one")
    parser.add_argument("--widths", type=Path, help="widths.json, where the recipe has them chosen")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--experiment", type=Path, required=True, help="folder that the recipe's paths are relative to")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--output", type=Path, required=True, help="folder to make for the trained graph")
    add_recipe(parser)
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    add_section(parser, "compress", CompressSection, leave_out=RECIPE_KEYS)
    add_section(parser, "hardware", HardwareSection)
    arguments = parser.parse_args(argv)
    compress(
        pretrained=arguments.pretrained,
        data=arguments.data,
        recipe=recipe_of(arguments),
        section=arguments.compress,
        experiment=arguments.experiment,
        output=arguments.output,
        seed=arguments.seed,
        threads=arguments.threads,
        keep_in_float=arguments.model.keep_in_float,
        hardware=arguments.hardware,
        teacher=arguments.teacher,
        search=arguments.search,
        widths=arguments.widths,
    )


if __name__ == "__main__":
    entry(main)
