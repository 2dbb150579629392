"""Makes docs/tutorial.ipynb of docs/tutorial.md, so that the page and the notebook say the same.

    python docs/tutorial/notebook.py

A block ```console becomes a cell that runs its `$ ` lines in bash, with the printed lines below it as the cell's
output. A block ```yaml title="NAME" becomes a cell that writes that file. All else is text.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "tutorial.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
BLOCK = re.compile(r'^```(?P<kind>console|yaml title="(?P<file>[^"]+)")\n(?P<body>.*?)^```\n', re.MULTILINE | re.DOTALL)
FIRST = """\
# Commands and paths are relative to the checkout.
import os
from pathlib import Path

os.chdir(next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "run.sh").is_file()))"""
FAILS = "error: "
"""How a line of the output begins if a command of the block is meant to fail."""


def cells(page: str) -> Iterator[dict[str, Any]]:
    """Yield the cells of a page's text, as nbformat 4.5 has them but for their ids."""
    end = 0
    for block in BLOCK.finditer(page):
        yield from _text(page[end : block.start()])
        if end == 0:
            yield _code(FIRST, "")
        yield _file(block["file"], block["body"]) if block["file"] else _commands(block["body"])
        end = block.end()
    yield from _text(page[end:])


def notebook(page: str) -> str:
    """Return the notebook's JSON for a page's text; the same text gives the same bytes."""
    content = {
        "cells": [cell | {"id": f"cell-{place}"} for place, cell in enumerate(cells(page), 1)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _text(text: str) -> Iterator[dict[str, Any]]:
    if text.strip():
        yield {"cell_type": "markdown", "metadata": {}, "source": _lines(text.strip("\n"))}


def _code(source: str, printed: str) -> dict[str, Any]:
    outputs = [{"name": "stdout", "output_type": "stream", "text": _lines(printed)}] if printed else []
    return {
        "cell_type": "code", "execution_count": None, "metadata": {}, "outputs": outputs, "source": _lines(source)
    }  # fmt: skip


def _file(name: str, body: str) -> dict[str, Any]:
    return _code(f"%%writefile {name}\n{body}".rstrip("\n"), "")


def _commands(body: str) -> dict[str, Any]:
    lines = body.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    printed = [line for line in lines if not line.startswith("$ ")]
    magic = "%%bash --no-raise-error" if any(line.startswith(FAILS) for line in printed) else "%%bash"
    return _code("\n".join([magic, *commands]), "".join(f"{line}\n" for line in printed))


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Write the notebook."""
    NOTEBOOK.write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
