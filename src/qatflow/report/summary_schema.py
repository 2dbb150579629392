"""The JSON Schema of summary.json, made from its classes. `python -m qatflow.report.summary_schema` writes it."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qatflow.base import sums
from qatflow.base.cli import entry
from qatflow.base.described import described_schema
from qatflow.base.files import write_text
from qatflow.base.generated import DIALECT, json_text
from qatflow.report.summary import FORMAT, Summary

SCHEMA = Path("docs/summary.schema.json")


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12): every field is required, and no other is allowed."""
    schema = described_schema(Summary)
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    more = {
        "format_version": {"const": FORMAT, "description": "Version of this file's format."},
        "provenance": {
            "type": "object",
            "description": "SHA-256 of the inputs, settings, versions of the tools and of Python, commit, processor.",
        },
        sums.KEY: {
            "type": "object",
            "properties": {"summary.json": digest},
            "required": ["summary.json"],
            "additionalProperties": False,
            "description": "SHA-256 of this file: of its bytes with 64 zeros in the place of that sum.",
        },
    }
    schema["properties"] |= more
    schema["required"] += list(more)
    return {"$schema": DIALECT, **schema}


def main(argv: Sequence[str]) -> None:
    """Write docs/summary.schema.json."""
    parser = argparse.ArgumentParser(prog="python -m qatflow.report.summary_schema", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (.)")
    path = parser.parse_args(argv).root / SCHEMA
    write_text(path, json_text(json_schema()))
    print(path)


if __name__ == "__main__":
    entry(main)
