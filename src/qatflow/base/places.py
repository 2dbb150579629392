"""Where files are: the project's own in its folder, everything else in the folder in which Snakemake is started."""

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
"""The folder of the library's packages."""
PACKAGED = SOURCE / "qatflow_project"
"""In a wheel: the workflow's files, as `qatflow run` puts them into a folder."""
IN_CHECKOUT = SOURCE.name == "src" and not PACKAGED.is_dir()
FOLDER = "QATFLOW_FOLDER"
"""Variable with the folder that `qatflow run` has put the workflow into. Only an installed library looks at it."""


def _project() -> Path:
    if IN_CHECKOUT:
        return SOURCE.parent
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else PACKAGED


PROJECT = _project()
"""The folder of this checkout; of an installed library, that with the workflow's files."""


def from_here(path: Path) -> Path:
    """Return a path relative to the working folder if it is inside it, otherwise unchanged."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def stable_name(path: Path) -> Path:
    """Return a file's path relative to the working folder or the project, which is the same wherever these are."""
    seen = from_here(path)
    return seen.relative_to(PROJECT) if seen.is_relative_to(PROJECT) else seen


def with_home(path: str) -> Path:
    """Return a path with the home folder in the place of `~` or `~user`; unchanged where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  # Path's raises where there is no such user


def configured(path: str) -> Path:
    """Return the file that a configuration names: in the working folder, or if there is none, in the project."""
    own = Path(os.path.normpath(PROJECT / path))
    try:
        missing = not os.path.lexists(path) and own.is_relative_to(PROJECT) and own.is_file()
        return from_here(own) if missing else Path(path)
    except (OSError, ValueError):  # nothing can have this name
        return Path(path)
