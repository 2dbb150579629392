"""The project's own modules that a program imports, found from the imports themselves, and the data files they name.

Snakemake takes them as inputs of the program's rule, and training keys its state by their digest: an edit to the
exporter must not retrain, an edit to the trainer must.
"""

import hashlib
from functools import cache
from pathlib import Path

from qatflow.base.imported_names import PACKAGE, imported_names
from qatflow.base.places import SOURCE


def imported_modules(program: Path) -> list[Path]:
    """Return the files of the project's modules that `program` imports, directly or through them, sorted.

    Imports within functions count too. Imports under `if TYPE_CHECKING:` do not, since nothing runs there.
    """
    modules: set[Path] = set()
    pending = [program]
    while pending:
        for path in _direct(pending.pop()):
            if path not in modules:
                modules.add(path)
                pending.append(path)
    return sorted(modules)


def code_files(program: Path) -> list[Path]:
    """Return the files of `imported_modules`, and the data files that these use, sorted.

    A data file, such as a template of a page, lies in the folder of its module, or in one below that is no package. It
    is used where its name stands in the text of the module, or of another data file that is used.
    """
    modules = imported_modules(program)
    return sorted({*modules, *(file for module in modules for file in _data_files(module))})


def code_digest(module: str) -> str:
    """Return the SHA-256 over a module (as `qatflow.training.loop`) and all it imports and uses of the project.

    The configuration's own modules are left out: what they say enters a run's digest as values.
    """
    path = _file(module)
    assert path is not None
    total = hashlib.sha256()
    configuration = SOURCE / PACKAGE / "config"
    files = {path, *_data_files(path), *code_files(path)}
    for file in sorted(file for file in files if configuration not in file.parents):
        total.update(file.relative_to(SOURCE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


@cache
def _direct(path: Path) -> tuple[Path, ...]:
    parts = [name.split(".") for name in imported_names(path.read_bytes())]
    files = [_file(".".join(part[: n + 1])) for part in parts for n in range(len(part))]
    return tuple(dict.fromkeys(file for file in files if file is not None))


@cache
def _data_files(module: Path) -> frozenset[Path]:
    """Return the data files that a module uses."""
    unseen = set(_data_beside(module.parent))
    used: set[Path] = set()
    texts = [module.read_text(encoding="utf-8")] if unseen else []
    while texts:
        text = texts.pop()
        named = {file for file in unseen if file.name in text}
        unseen, used = unseen - named, used | named
        texts += [file.read_text(encoding="utf-8", errors="replace") for file in named]
    return frozenset(used)


@cache
def _data_beside(folder: Path) -> tuple[Path, ...]:
    """Return the files in `folder` that are not Python's, and those in folders below it that are no packages."""
    files: list[Path] = []
    for path in folder.iterdir():
        if path.is_file() and path.suffix != ".py":
            files.append(path)
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").is_file():
            files += _data_beside(path)
    return tuple(files)


@cache
def _file(module: str) -> Path | None:
    base = SOURCE.joinpath(*module.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)
