"""Write the trained graph as float/, int8/ and mobile/, as the recipe's save paths say."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry
from qatflow.config.recipe.option import add_recipe, recipe_of
from qatflow.export.export import export


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and call the library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=Path, required=True, help="folder of the trained graph")
    parser.add_argument("--experiment", type=Path, required=True, help="folder that the recipe's paths are relative to")
    add_recipe(parser)
    arguments = parser.parse_args(argv)
    strategy = recipe_of(arguments).quantization
    for target in export(arguments.trained, strategy, arguments.experiment):
        print(f"{target.kind}: {target.folder}")


if __name__ == "__main__":
    entry(main)
