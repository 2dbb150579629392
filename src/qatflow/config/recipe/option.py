"""The compress YAML, resolved, as a command-line option: `--recipe '{…}'`, or by hand `--config FILE`."""

import argparse
import json

from qatflow.base.errors import UserError
from qatflow.base.places import configured
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.options import SectionOption, json_object, run_module

READER = "qatflow.config.read_recipe"


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add `--recipe`, and in its place `--config` with `--overrides`; `recipe_of` returns what they come to."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--recipe",
        action=SectionOption,
        section=CompressConfig,
        help=f"the resolved compress YAML as JSON, as `python -m {READER} FILE` prints it; of several mappings later "
        "ones go over earlier ones",
    )
    group.add_argument("--config", type=configured, metavar="FILE", help="compress YAML, which is read and checked")
    parser.add_argument(
        "--overrides",
        type=json_object,
        metavar="JSON",
        help="with --config: values in place of the YAML's, by key, as compress.overrides of the configuration",
    )


def recipe_of(arguments: argparse.Namespace) -> CompressConfig:
    """Return the recipe that the options of `add_recipe` give.

    A YAML is read by a program of its own: this one does not import the reader and its checks, which would be inputs
    of its jobs.

    Raises:
        UserError: the YAML has problems, all of which are listed; or there are overrides of nothing.
    """
    if arguments.config is None:
        if arguments.overrides is not None:
            raise UserError("--overrides: goes with --config; a --recipe is resolved already")
        recipe: CompressConfig = arguments.recipe
        return recipe
    answer = run_module(READER, str(arguments.config), "--overrides", json.dumps(arguments.overrides or {}))
    if answer.returncode:
        raise UserError(answer.stderr.strip().removeprefix("error: "))
    return CompressConfig.model_validate_json(answer.stdout)
