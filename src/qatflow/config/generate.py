"""Writes what is generated from the typed configuration: its JSON Schemas, its YAML file and its table in the README.

`python -m qatflow.config.generate` writes them to config/.
"""

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.base.generated import json_text, with_rows
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.schema import allowed, json_schema
from qatflow.config.sections.config import Config
from qatflow.config.yaml.keys import Keys, dotted

WIDTH = 110
HEAD = """\
# yaml-language-server: $schema=schema.json
#
# The default configuration. `python -m qatflow.config.generate` makes this file from src/qatflow/config/sections/.
# For a run of your own, write only the keys that differ into a file, and pass it: --configfile my.yaml
# Paths are relative to the folder in which Snakemake is started.
"""
TABLE = ("<!-- table: made by `python -m qatflow.config.generate` -->", "<!-- end of table -->")


def main(argv: Sequence[str]) -> None:
    """Write the generated files."""
    parser = argparse.ArgumentParser(prog="python -m qatflow.config.generate", description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("config"), help="the configuration folder (config)")
    for path, text in generated(parser.parse_args(argv).folder).items():
        write_text(path, text)
        print(path)


def generated(folder: Path) -> dict[Path, str]:
    """Return the text of each generated file of the configuration folder `folder`."""
    readme = folder / "README.md"
    return {
        folder / "schema.json": json_text(json_schema(Config)),
        folder / "compress.schema.json": json_text(json_schema(CompressConfig)),
        folder / "config.yaml": _default_yaml(),
        readme: with_rows(readme.read_text(encoding="utf-8"), TABLE, _table_rows()),
    }


def _default_yaml() -> str:
    """Return the text of config.yaml: every key with its default, its meaning and its allowed values."""
    return HEAD + "\n".join(_yaml_lines(json_schema(Config), _defaults(), 0)) + "\n"


def _yaml_lines(schema: dict[str, Any], values: dict[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, inner in schema["properties"].items():
        is_section = "properties" in inner
        description = inner.get("description", "")
        if not is_section and (words := allowed(inner)) != "text":
            description += f" ({words})"
        if depth == 0:
            yield ""
        for line in textwrap.wrap(description, WIDTH - len(indent) - 2, break_on_hyphens=False):
            yield f"{indent}# {line}"
        if is_section:
            yield f"{indent}{key}:"
            yield from _yaml_lines(inner, values[key], depth + 1)
        else:
            yield f"{indent}{key}: {_scalar(values[key])}"


def _table_rows() -> Iterator[str]:
    """Yield the rows of the README's table: each key with its default, its allowed values and its meaning."""
    yield from ("| key | default | allowed | meaning |", "|---|---|---|---|")
    for keys, schema in _leaves(json_schema(Config), ()):
        value: Any = _defaults()
        for key in keys:
            value = value[key]
        cells = (f"`{dotted(keys)}`", f"`{_scalar(value)}`", allowed(schema), schema.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _leaves(schema: dict[str, Any], above: Keys) -> Iterator[tuple[Keys, dict[str, Any]]]:
    for key, inner in schema["properties"].items():
        if "properties" in inner:
            yield from _leaves(inner, (*above, key))
        else:
            yield (*above, key), inner


def _defaults() -> dict[str, Any]:
    return Config.model_validate({}).model_dump(mode="json")


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


if __name__ == "__main__":
    entry(main)
