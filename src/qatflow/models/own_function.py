"""A user's own function that builds a Keras model: how it is found, checked and called."""

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
    """Return the module of `package.module:name` and the modules it imports from the same folder, sorted.

    Nothing is imported: the files are located by name and read.

    Raises:
        UserError: there is no such module, it cannot be read, or it has no such name; lists the nearest names.
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
    files: set[Path] = set()
    pending = [module]
    while pending:
        for part in _with_packages(pending.pop()):
            path = _file(place, part)
            if path is not None and path not in files:
                files.add(path)
                package = part if path.name == "__init__.py" else part.rpartition(".")[0]
                pending += _imports(_tree(path), package)
    return sorted(files)


def build(function: str, shape: tuple[int, int, int], classes: int) -> Any:
    """Call the function and return the tf_keras model it builds.

    Args:
        function: `package.module:name`.
        shape: height, width and channels of a picture.
        classes: number of classes.

    Raises:
        UserError: it raises, or does not return a functional or sequential tf_keras model.
    """
    import tf_keras

    source_files(function)  # raises with a clear message if there is no such function
    from qatflow.models.keras.activations import activation_of

    activation_of(tf_keras.activations.relu)  # which functions are Keras' own is noted before the user's code runs
    module, _, name = function.partition(":")
    sys.path[:0] = [str(place) for place in _places()]
    try:
        model = getattr(importlib.import_module(module), name)(input_shape=shape, classes=classes)
    except Exception as error:
        trace = inspect.trace()[-1]
        raise UserError(f"{function}: {type(error).__name__}: {error} ({trace.filename}:{trace.lineno})") from error
    if not isinstance(model, tf_keras.Model):
        raise UserError(
            f"{function} returned {type(model).__module__}.{type(model).__qualname__}, but must return a model of "
            "tf_keras (Keras 2): build it with `from tf_keras import layers`"
        )
    from qatflow.models.from_keras import check_visible

    try:
        check_visible(model)
    except UserError as error:
        raise UserError(f"{function}: {error}") from error
    return model


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
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    return names


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)
