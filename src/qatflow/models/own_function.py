"""A function of the user's own that builds a Keras model: found, read, and called."""

import ast
import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError


def source_files(function: str) -> list[Path]:
    """Return the module of `package.module:name` and the modules it imports from the same place, sorted.

    Nothing is imported: the files are found by their names and read.

    Raises:
        UserError: there is no such module, it cannot be read, or it has no such name; the nearest are listed.
    """
    module, _, name = function.partition(":")
    for place in _places():
        first = _file(place, module)
        if first is not None:
            break
    else:
        raise UserError(
            f"no module {module} in {Path.cwd()} or along PYTHONPATH: start in its folder, or set PYTHONPATH"
        )
    names = _names(_tree(first))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:5]
        raise UserError(f"{first} has no function {name}; it has {', '.join(near) or 'none'}")
    found: set[Path] = set()
    pending = [module]
    while pending:
        for part in _with_packages(pending.pop()):
            path = _file(place, part)
            if path is not None and path not in found:
                found.add(path)
                package = part if path.name == "__init__.py" else part.rpartition(".")[0]
                pending += _imports(_tree(path), package)
    return sorted(found)


def build(function: str, shape: tuple[int, int, int], classes: int) -> Any:
    """Call the function and return the tf_keras model it builds.

    Args:
        function: `package.module:name`.
        shape: height, width and channels of a picture.
        classes: number of classes.

    Raises:
        UserError: it raises, or returns anything but a functional or sequential tf_keras model for such pictures.
    """
    import tf_keras

    source_files(function)  # the message where there is none
    module, _, name = function.partition(":")
    sys.path[:0] = [str(place) for place in _places()]
    try:
        made = getattr(importlib.import_module(module), name)(input_shape=shape, classes=classes)
    except Exception as error:
        trace = inspect.trace()[-1]
        raise UserError(f"{function}: {type(error).__name__}: {error} ({trace.filename}:{trace.lineno})") from error
    if not isinstance(made, tf_keras.Model):
        raise UserError(
            f"{function} returned {type(made).__module__}.{type(made).__qualname__}, and a model of tf_keras (Keras 2) "
            "is needed: build it with `from tf_keras import layers`"
        )
    from qatflow.models.from_keras import check_visible

    try:
        check_visible(made)
    except UserError as error:
        raise UserError(f"{function}: {error}") from error
    return made


def _places() -> list[Path]:
    along = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    return [Path.cwd(), *map(Path, along)]


def _file(place: Path, module: str) -> Path | None:
    base = place.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _with_packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as Python: {error}") from error


def _names(tree: ast.Module) -> list[str]:
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return found


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)
