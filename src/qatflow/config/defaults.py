"""The default configuration as a commented YAML file, and as the table of config/README.md."""

import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from qatflow.config.keys import Keys
from qatflow.config.schema import allowed, json_schema
from qatflow.config.sections.config import Config

WIDTH = 110
HEAD = """\
# yaml-language-server: $schema=schema.json
#
# The embedded default. Made by `python -m qatflow.config.schema` from src/qatflow/config/sections/: change it there.
# For a run of your own, write only what differs into a file (an overlay) and give it: --configfile my.yaml
# Paths are relative to the folder in which Snakemake is started.
"""
TABLE = ("<!-- table: made by `python -m qatflow.config.schema` -->", "<!-- end of table -->")


def default_yaml() -> str:
    """Return the text of config/config.yaml: every key with its default, its meaning and what is allowed."""
    return (
        HEAD + "\n".join(_yaml_lines(json_schema(Config), Config.model_validate({}).model_dump(mode="json"), 0)) + "\n"
    )


def with_table(readme: str) -> str:
    """Return the README's text with its table of keys made anew."""
    begin, end = TABLE
    before, _, rest = readme.partition(begin)
    _, _, after = rest.partition(end)
    rows = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    defaults = Config.model_validate({}).model_dump(mode="json")
    for keys, schema in _leaves(json_schema(Config), ()):
        value: Any = defaults
        for key in keys:
            value = value[key]
        cells = (f"`{'.'.join(map(str, keys))}`", f"`{_scalar(value)}`", allowed(schema), schema.get("description", ""))
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return f"{before}{begin}\n" + "\n".join(rows) + f"\n{end}{after}"


def _yaml_lines(schema: dict[str, Any], values: dict[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, inner in schema["properties"].items():
        section = "properties" in inner
        about = inner.get("description", "")
        if not section and (values_allowed := allowed(inner)) != "text":
            about += f" ({values_allowed})"
        if depth == 0:
            yield ""
        for line in textwrap.wrap(about, WIDTH - len(indent) - 2, break_on_hyphens=False):
            yield f"{indent}# {line}"
        if section:
            yield f"{indent}{key}:"
            yield from _yaml_lines(inner, values[key], depth + 1)
        else:
            yield f"{indent}{key}: {_scalar(values[key])}"


def _leaves(schema: dict[str, Any], above: Keys) -> Iterator[tuple[Keys, dict[str, Any]]]:
    for key, inner in schema["properties"].items():
        if "properties" in inner:
            yield from _leaves(inner, (*above, key))
        else:
            yield (*above, key), inner


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
