"""The folders that a run writes to: they must be folders, and writable where a job needs them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.config.sections.config import Config

STATE = ".snakemake"
WRITTEN = ("data", "logs", "pretrain", "resources", "results")
"""Folders in the working folder that rules write to."""


def check_state(folder: Path) -> None:
    """Raise if Snakemake cannot keep its state in the working folder.

    Raises:
        UserError: names the folder, and says what to do.
    """
    state = folder / STATE
    if os.path.lexists(state) and not state.is_dir():
        raise UserError(_not_folder(state))
    here = state if state.is_dir() else folder
    if here.is_dir() and not _takes_files(here):
        raise UserError(f"the folder {here.resolve()} cannot be written to: make it writable, or start in another one")


def check_folders(configs: Sequence[Config]) -> None:
    """Raise if something else has the name of a folder that the rules write to.

    Raises:
        UserError: names all of them.
    """
    own = [
        name
        for config in configs
        for name in (
            f"data/{config.data.name}",
            f"pretrain/{config.pretrained.name}_pretrained",
            f"results/{config.experiment}",
        )
    ]
    wrong = [path for path in map(Path, dict.fromkeys((*WRITTEN, *own))) if _is_no_folder(path)]
    if wrong:
        raise UserError("\n".join(_not_folder(path) for path in wrong))


def check_writable(outputs: Iterable[Path]) -> None:
    """Raise if files cannot be made because their folder, or the nearest one that exists, is not writable.

    Raises:
        UserError: names all such folders.
    """
    folders = dict.fromkeys(_nearest(folder) for folder in dict.fromkeys(output.parent for output in outputs))
    wrong = [folder.resolve() for folder in folders if not _takes_files(folder)]
    if wrong:
        raise UserError(
            "\n".join(f"the folder {path} cannot be written to, and jobs need it: make it writable" for path in wrong)
        )


def _is_no_folder(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_dir()


def _not_folder(path: Path) -> str:
    kind = "a link to nothing" if path.is_symlink() and not path.exists() else "a file"
    return f"{path} is {kind}, and runs write to a folder of this name: move it, or start in another folder"


def _nearest(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _takes_files(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
