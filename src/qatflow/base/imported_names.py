"""What a module's text imports of the project, kept for later processes: parsing all takes a third of a second."""

import ast
import atexit
import contextlib
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import cache_from_source
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.files import sha256
from qatflow.base.sums import read_sealed, write_sealed

PACKAGE = "qatflow"
KEPT = Path(cache_from_source(__file__)).with_name("imported_names.json")
"""Beside Python's own compiled files; by the SHA-256 of each text, so it is never out of date."""
MOST = 5_000
"""Texts that the file holds before it is begun again: each edit adds one."""


@cache
def imported_names(text: bytes) -> tuple[str, ...]:
    """Return the names from the package that a module's text imports, in its order.

    Imports within functions count too. Imports under `if TYPE_CHECKING:` do not, since nothing runs there.

    Raises:
        SyntaxError: the text is no Python.
    """
    key, kept = hashlib.sha256(text).hexdigest(), _kept()
    if key not in kept:
        names = list(_imported(ast.parse(text).body))
        _keep_at_exit()
        kept[key] = names
    return tuple(kept[key])


@cache
def _kept() -> dict[str, list[str]]:
    """Return the names by text as an earlier process left them; none where this module was another one."""
    with contextlib.suppress(UserError, OSError, ValueError, KeyError):
        left = read_sealed(KEPT)
        if left["by"] == sha256(Path(__file__)) and len(left["names"]) < MOST:
            return dict(left["names"])
    return {}


@cache
def _keep_at_exit() -> None:
    if not sys.dont_write_bytecode:
        atexit.register(_keep)


def _keep() -> None:
    """Write the names, where the folder can be written to."""
    with contextlib.suppress(UserError, OSError):
        write_sealed(KEPT, {"by": sha256(Path(__file__)), "names": _kept()})


def _imported(statements: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names from the package that these statements import, and those within them.

    Expressions are not looked at, since none holds a statement: they are most of a module.
    """
    for node in statements:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.level == 0 else []
        else:
            type_checking = isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
            for block in ("orelse",) if type_checking else ("body", "handlers", "orelse", "finalbody", "cases"):
                yield from _imported(getattr(node, block, ()))
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE)
