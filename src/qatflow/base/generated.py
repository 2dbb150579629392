"""Files that are generated from typed classes: JSON Schemas, and tables between two marks of a document."""

import json
import re
from collections.abc import Iterable
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_text(value: Any) -> str:
    """Return `value` as the text of a JSON file, which readers of YAML 1.1 read alike: to them 1e-08 is a text."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return re.sub(r"(?<=: )(-?\d+)(e[+-]?\d+,?)$", r"\1.0\2", text, flags=re.MULTILINE) + "\n"


def with_rows(text: str, marks: tuple[str, str], rows: Iterable[str]) -> str:
    """Return `text` with `rows`, one per line, in place of what stands between the first and the last mark."""
    begin, end = marks
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n" + "\n".join(rows) + f"\n{end}{after}"
