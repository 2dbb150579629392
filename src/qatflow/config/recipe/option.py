"""The compress YAML, resolved, as a command-line option: `--recipe '{…}'`, or by hand `--config FILE`."""

import argparse
import json

from qatflow.base.errors import UserError
from qatflow.base.modules import run_module
from qatflow.base.places import configured
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.options import SectionOption, json_object

READER = "qatflow.config.read_recipe"


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add `--recipe`, and for use by hand `--config` with `--overrides`; `recipe_of` returns the recipe they give."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--recipe",
        action=SectionOption,
        section=CompressConfig,
        help=f"the resolved compress YAML as JSON, as `python -m {READER} FILE` prints it; of several mappings, later "
        "ones override earlier ones",
    )
    group.add_argument("--config", type=configured, metavar="FILE", help="a compress YAML, to be read and checked")
    parser.add_argument(
        "--overrides",
        type=json_object,
        metavar="JSON",
        help="with --config: values that replace the YAML's, by key, like compress.overrides of the configuration",
    )


def recipe_of(arguments: argparse.Namespace) -> CompressConfig:
    """Return the recipe that the options of `add_recipe` give.

    A program of its own reads the YAML. The calling program does not import the reader and its checks, which would
    otherwise be inputs of its jobs.

    Raises:
        UserError: the YAML has problems, which are all listed; or --overrides is given without --config.
    """
    if arguments.config is None:
        if arguments.overrides is not None:
            raise UserError("--overrides: goes with --config; a --recipe is already resolved")
        recipe: CompressConfig = arguments.recipe
        return recipe
    answer = run_module(READER, str(arguments.config), "--overrides", json.dumps(arguments.overrides or {}))
    if answer.returncode:
        raise UserError(answer.stderr.strip().removeprefix("error: "))
    return CompressConfig.model_validate_json(answer.stdout)
