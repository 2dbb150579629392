"""Reads a compress YAML: PaddleSlim's grammar, with all mistakes reported instead of ignored.

`python -m qatflow.config.read_recipe FILE` prints the resolved recipe as JSON.
"""

import argparse
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from qatflow.base.cli import entry
from qatflow.base.places import configured
from qatflow.config.checks.recipe import check_compress, check_folders
from qatflow.config.overrides import overridden
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.options import as_json, json_object
from qatflow.config.validate import validate
from qatflow.config.yaml.include import with_included
from qatflow.config.yaml.merge import Location, Merged, Report, merge
from qatflow.config.yaml.problems import refusal
from qatflow.config.yaml.text_file import shown

OTHER_SECTIONS = ("quantizers",)
"""Sections of PaddleSlim's grammar that qatflow does not use."""


def load_compress(path: Path, overrides: Mapping[str, Any] | None = None) -> CompressConfig:
    """Read the compress YAML at `path` and the files it includes.

    An included file is read before the file that includes it, whose keys win. `include` is empty in the result.
    The text `none`, in upper or lower case, is null, as in PaddleSlim.

    Args:
        path: the file.
        overrides: values that replace those of the file, by key, as in the configuration's compress.overrides.

    Raises:
        UserError: with all problems, one per line: `file:line: dotted.key: what is wrong, what is allowed`.
    """
    location = Location(0, 0, "compress.overrides")
    config, reports = Recipes().read(path, {key: (value, location) for key, value in (overrides or {}).items()})
    if config is None or reports:
        raise refusal(f"the compress YAML {shown(path)}", reports)
    return config


class Recipes:
    """Reads compress YAMLs with overrides; those that several experiments share are read once."""

    def __init__(self) -> None:
        self._merged = functools.cache(_merged)
        self._typed: dict[str, CompressConfig] = {}

    def read(
        self, path: Path, overrides: Mapping[str, tuple[Any, Location]], reserved: Collection[str] = ()
    ) -> tuple[CompressConfig | None, list[str]]:
        """Return the typed compress YAML and a line for each problem; use it only if there are no problems.

        Args:
            path: the file.
            overrides: values that replace those of the file, by key, and where each is written.
            reserved: folders within the experiment's folder that the workflow itself writes.

        Raises:
            UserError: the file itself cannot be read.
        """
        identity = json.dumps([str(path), {key: value for key, (value, _) in overrides.items()}], default=repr)
        config = self._typed.get(identity)
        if config is not None and not any(check_folders(config, reserved)):
            return config, []
        config, lines = self._read(path, overrides, reserved)
        if config is not None and not lines:
            self._typed[identity] = config
        return config, lines

    def _read(
        self, path: Path, overrides: Mapping[str, tuple[Any, Location]], reserved: Collection[str]
    ) -> tuple[CompressConfig | None, list[str]]:
        merged = overridden(self._merged(path), overrides, shown(path))
        config, reports = validate(CompressConfig, merged, lambda config: check_compress(config, reserved))
        return config, list(map(str, reports))


def _merged(path: Path) -> Merged:
    """Return the merged values of the file at `path` and the files it includes.

    Raises:
        UserError: the file itself cannot be read.
    """
    merged = merge(with_included(path))
    merged.data.pop("include", None)
    for key in OTHER_SECTIONS:
        if merged.data.pop(key, None) is not None:
            merged.reports.append(
                Report(merged.location((key,)), f"{key}: qatflow does not use it; remove the section")
            )
    return merged


def main(argv: Sequence[str]) -> None:
    """Print a compress YAML as JSON, with what it includes and all defaults."""
    parser = argparse.ArgumentParser(prog="python -m qatflow.config.read_recipe", description=main.__doc__)
    parser.add_argument("file", type=configured, help="the compress YAML")
    parser.add_argument(
        "--overrides", type=json_object, default={}, help="JSON: values that replace the YAML's, by key"
    )
    arguments = parser.parse_args(argv)
    print(as_json(load_compress(arguments.file, arguments.overrides)))


if __name__ == "__main__":
    entry(main)
