"""A compress YAML and the files it includes, in the order in which they are merged."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.config.yaml.reader import Mistake, Unknown, YamlFile, read_yaml
from qatflow.config.yaml.text_file import shown

MAX_FILES = 20


def with_included(path: Path) -> list[YamlFile]:
    """Read the file at `path` and the files it includes, each once and before the file that includes it.

    The text `none`, in upper or lower case, is null, as in PaddleSlim. The mistakes of a file list what is wrong with
    its `include`.

    Raises:
        UserError: the file itself cannot be read.
    """
    files: list[YamlFile] = []
    _read(path, (), files)
    return files


def _read(path: Path, including: tuple[str, ...], files: list[YamlFile]) -> None:
    file = read_yaml(path)
    file = replace(file, data=none_is_null(file.data))
    chain = (*including, _real(path))
    names = file.data.get("include", [])
    mistakes: list[Mistake] = []
    if isinstance(names, list):
        for index, name in enumerate(names):
            if reason := _include(path, name, chain, files):
                mistakes.append(Mistake(file.lines["include", index], f"include[{index}]: {reason}"))
    elif not isinstance(names, Unknown):
        mistakes.append(Mistake(file.lines["include",], "include: must be a list of file names, like [base.yaml]"))
    # what seems missing may be in a file that was not read
    whole = file.whole and not mistakes and isinstance(names, list) and Unknown.VALUE not in names
    files.append(replace(file, mistakes=tuple(sorted([*file.mistakes, *mistakes])), whole=whole))


def _include(path: Path, name: Any, chain: tuple[str, ...], files: list[YamlFile]) -> str:
    """Read the file `name` that `path` includes; return what is wrong with it, or an empty text."""
    if isinstance(name, Unknown):
        return ""
    if not isinstance(name, str):
        return "must be the name of a file"
    included = path.parent / name
    if _real(included) in chain:
        return f"{name} includes this file again: a cycle; remove one of the two"
    if _real(included) in [_real(file.path) for file in files]:
        return ""
    if len(files) + len(chain) >= MAX_FILES:
        return f"more than {MAX_FILES} files; this is not a configuration"
    try:
        _read(included, chain, files)
    except UserError as error:
        missing = not os.path.lexists(included)
        return f"the file {shown(included)} does not exist (paths are relative to this file)" if missing else str(error)
    return ""


def _real(path: Path) -> str:
    """Return the real path of a file, or the name itself if no file can have it."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return str(path)


def none_is_null(value: Any) -> Any:
    """Return `value` with null in place of each text `none`, in upper or lower case."""
    if isinstance(value, dict):
        return {key: none_is_null(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [none_is_null(inner) for inner in value]
    return None if isinstance(value, str) and value.lower() == "none" else value
