"""The project's own modules that a program imports, found from the imports themselves.

Snakemake takes them as inputs of the program's rule, and training keys its state by their digest: an edit to the
exporter must not retrain, an edit to the trainer must.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PACKAGE = "qatflow"


def imported_modules(program: Path) -> list[Path]:
    """Return the files of the project's modules that `program` imports, directly or through them, sorted.

    Imports within functions count too. Imports under `if TYPE_CHECKING:` do not, since nothing runs there.
    """
    found: set[Path] = set()
    pending = [program]
    while pending:
        for path in _direct(pending.pop()):
            if path not in found:
                found.add(path)
                pending.append(path)
    return sorted(found)


def code_digest(module: str) -> str:
    """Return the SHA-256 over a module (as `qatflow.training.loop`) and all it imports of the project.

    The configuration's own modules are left out: what they say enters a run's digest as values.
    """
    path = _file(module)
    assert path is not None
    total = hashlib.sha256()
    configuration = SOURCE / PACKAGE / "config"
    for file in sorted(file for file in {path, *imported_modules(path)} if configuration not in file.parents):
        total.update(file.relative_to(SOURCE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


@cache
def _direct(path: Path) -> tuple[Path, ...]:
    collector = _Imports()
    collector.visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    files = [_file(".".join(parts[: n + 1])) for parts in collector.names for n in range(len(parts))]
    return tuple(dict.fromkeys(file for file in files if file is not None))


@cache
def _file(module: str) -> Path | None:
    base = SOURCE.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


class _Imports(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names: list[list[str]] = []

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module is not None:
            for alias in node.names:
                self._add(f"{node.module}.{alias.name}")

    def _add(self, name: str) -> None:
        if name.split(".")[0] == PACKAGE:
            self.names.append(name.split("."))
