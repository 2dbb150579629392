"""The JSON Schema of report.json, and its table in docs/devices.md, made from the classes of `report`.

`python -m qatflow.device.results.schema` writes both.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qatflow.base import sums
from qatflow.base.cli import entry
from qatflow.base.described import described_schema
from qatflow.base.files import write_text
from qatflow.base.generated import DIALECT, json_text, with_rows
from qatflow.device.results import report

SCHEMA, TABLE_FILE = Path("docs/device_report.schema.json"), Path("docs/devices.md")
SUMS = "SHA-256 of output.txt, and of this file: of its bytes with 64 zeros in the place of that sum."
TABLE = ("<!-- table: made by `python -m qatflow.device.results.schema` -->", "<!-- end of table -->")


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12): every field is required, and no other is allowed."""
    schema = described_schema(report.DeviceReport)
    schema["properties"]["format_version"]["const"] = report.FORMAT
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    files = dict.fromkeys((report.TEXT, report.FILE), digest)
    schema["properties"][sums.KEY] = {
        "type": "object",
        "properties": files,
        "required": list(files),
        "additionalProperties": False,
        "description": SUMS,
    }
    schema["required"].append(sums.KEY)
    return {"$schema": DIALECT, **schema}


def with_table(text: str) -> str:
    """Return the text of docs/devices.md with an updated table of fields."""
    rows = ["| field | meaning |", "|---|---|", *_rows(json_schema(), json_schema()["$defs"], "")]
    return with_rows(text, TABLE, rows)


def generated(root: Path) -> dict[Path, str]:
    """Return the text of each generated file below the project's folder."""
    table = root / TABLE_FILE
    return {
        root / SCHEMA: json_text(json_schema()),
        table: with_table(table.read_text(encoding="utf-8")),
    }


def _rows(node: dict[str, Any], classes: dict[str, Any], above: str) -> Iterator[str]:
    for field, inner in node["properties"].items():
        # int8 has the fields of float
        if above == "models." and field == "int8":
            yield f"| `{above}{field}` | {inner['description']} Same fields as `models.float`. |"
            continue
        named = re.search(r"#/\$defs/(\w+)", json.dumps(inner))
        listed = "[]" if '"items"' in json.dumps(inner) else ""
        yield f"| `{above}{field}{listed}` | {inner['description']} |"
        if named:
            yield from _rows(classes[named[1]], classes, f"{above}{field}{listed}.")


def main(argv: Sequence[str]) -> None:
    """Write the generated files."""
    parser = argparse.ArgumentParser(prog="python -m qatflow.device.results.schema", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the project's folder (.)")
    for path, text in generated(parser.parse_args(argv).root).items():
        write_text(path, text)
        print(path)


if __name__ == "__main__":
    entry(main)
