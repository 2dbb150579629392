"""The reference of docs/api.md, made of the docstrings of the public names: `python -m qatflow.api.reference`."""

import argparse
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qatflow.api.comparing import Comparison, compare
from qatflow.api.converting import convert
from qatflow.api.loading import load
from qatflow.api.quantising import quantise
from qatflow.base.cli import entry
from qatflow.base.files import write_text
from qatflow.base.generated import with_rows

PAGE = Path("docs/api.md")
MARKS = ("<!-- reference: made by `python -m qatflow.api.reference` -->", "<!-- end of reference -->")
PUBLIC = (load, convert, quantise, compare, Comparison)
HEADS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
LONGEST = 100
"""Characters of a signature in one line."""
_ENTRY = re.compile(r"^ {4}(\w+): (.*)$")


def reference() -> Iterator[str]:
    """Yield the lines of the reference."""
    for item in PUBLIC:
        yield from ("", f"### qatflow.{item.__name__}", "", "```python", _signature(item), "```", "")
        yield from _described(inspect.getdoc(item) or "")
    yield ""


def _signature(item: Any) -> str:
    parameters = []
    for parameter in inspect.signature(item).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parameters:
            parameters.append("*")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        parameters.append(f"{parameter.name}{default}")
    line = f"qatflow.{item.__name__}({', '.join(parameters)})"
    if len(line) <= LONGEST:
        return line
    return f"qatflow.{item.__name__}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + ")"


def _described(text: str) -> Iterator[str]:
    """Yield a docstring as Markdown: its sections as lists."""
    for line in text.splitlines():
        head = HEADS.get(line.removesuffix(":"))
        found = _ENTRY.match(line)
        if line.endswith(":") and head is not None:
            yield from (f"**{head}**", "")
        elif found:
            yield f"* `{found[1]}`: {found[2]}"
        elif line.startswith("        "):
            yield f"  {line.strip()}"
        else:
            yield line.strip()


def main(argv: Sequence[str]) -> None:
    """Write the reference into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args(argv)
    write_text(PAGE, with_rows(PAGE.read_text(encoding="utf-8"), MARKS, reference()))
    print(PAGE)


if __name__ == "__main__":
    entry(main)
