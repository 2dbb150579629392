"""Train a candidate of a search for a while, and evaluate it; a killed run goes on where it was."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.compress import NOT_OF_CANDIDATES, RECIPE_KEYS, CompressSection
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import add_section
from qatflow.search.evaluate import Evaluation, evaluate
from qatflow.search.start import setup


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--latency", type=Path, help="latency_table.json, where the search limits the latency")
    parser.add_argument("--data", type=Path, required=True, help="manifest.json of the prepared pictures")
    parser.add_argument("--candidates", type=Path, required=True, help="candidates.json of the round")
    parser.add_argument("--number", type=within(int, 1), required=True, help="which of them")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of everything random")
    parser.add_argument("--threads", type=within(int, 1), default=2, help="threads TensorFlow uses")
    parser.add_argument("--work", type=Path, required=True, help="folder for the training's state")
    parser.add_argument("--output", type=Path, required=True, help="folder to make")
    add_recipe(parser)
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    add_section(parser, "compress", CompressSection, leave_out=(*RECIPE_KEYS, *NOT_OF_CANDIDATES))
    add_section(parser, "hardware", HardwareSection)
    arguments = parser.parse_args(argv)
    begun = setup(
        recipe_of(arguments),
        pretrained=arguments.pretrained,
        seed=arguments.seed,
        latency=arguments.latency,
        keep_in_float=arguments.model.keep_in_float,
    )
    how = Evaluation(
        data=arguments.data,
        section=arguments.compress,
        threads=arguments.threads,
        hardware=arguments.hardware,
    )
    evaluate(
        begun,
        candidates=arguments.candidates,
        number=arguments.number,
        how=how,
        work=arguments.work,
        output=arguments.output,
    )


if __name__ == "__main__":
    entry(main)
