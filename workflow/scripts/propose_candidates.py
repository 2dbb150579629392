"""Propose the candidates of a round of a search, by what those of the round before came to."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.argument_types import within
from qatflow.base.cli import entry
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.config.sections.base import SEEDS
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.options import add_section
from qatflow.search.propose import propose
from qatflow.search.start import setup


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrained", type=Path, required=True, help="folder of the float model")
    parser.add_argument("--latency", type=Path, help="latency_table.json, where the search limits the latency")
    parser.add_argument("--seed", type=within(int, 0, SEEDS - 1), default=1, help="seed of the experiment")
    parser.add_argument("--count", type=within(int, 1), required=True, help="candidates to propose")
    parser.add_argument("--before", type=Path, help="candidates.json of the round before; none: this is the first")
    parser.add_argument("--outcomes", type=Path, nargs="+", default=[], help="outcome.json of each of its candidates")
    parser.add_argument("--output", type=Path, required=True, help="candidates.json to write")
    add_recipe(parser)
    add_section(parser, "model", ModelSection, only=("keep_in_float",))
    arguments = parser.parse_args(argv)
    begun = setup(
        recipe_of(arguments),
        pretrained=arguments.pretrained,
        seed=arguments.seed,
        latency=arguments.latency,
        keep_in_float=arguments.model.keep_in_float,
    )
    propose(
        begun,
        count=arguments.count,
        before=arguments.before,
        outcomes=arguments.outcomes,
        output=arguments.output,
    )


if __name__ == "__main__":
    entry(main)
