"""What can be wrong with a file or a folder that the configuration names, before it is opened."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

from qatflow.base.files import sha256
from qatflow.config.sections.named_files import file_name
from qatflow.config.yaml.problems import Problem, problem
from qatflow.config.yaml.text_file import shown

HASHED_AT_ONCE = 64 * 2**20  # a larger file is hashed by its job, not here
SAVED_MODEL = "saved_model.pb"


def check_url(url: str, endings: tuple[str, ...], *keys: str) -> Iterator[Problem]:
    """Yield the problems of an address, whose file name must have one of `endings`."""
    if not url.lower().startswith(("http://", "https://")):
        yield problem(f"{url} is not an http or https address", *keys)
    elif not file_name(url).endswith(endings):
        yield problem(f"must end in {' or '.join(endings)}, and ends in '{file_name(url)}'", *keys)


def check_sha256(path: str, expected: str | None, *keys: str) -> Iterator[Problem]:
    """Yield the problem of a checksum that the file at `path` does not have; the checksum's own key comes first."""
    if expected is None:
        return
    if is_folder(path):
        yield problem(f"is for a file, and {path} is a folder: remove it", *keys)
    elif Path(path).stat().st_size <= HASHED_AT_ONCE and (actual := sha256(Path(path))) != expected:
        yield problem(
            f"is {expected}, but the sha256 of {shown(Path(path))} is {actual}: it is another file, or damaged", *keys
        )


def saved_problem(path: str) -> str:
    """Return what is wrong with a saved model, a file or a SavedModel folder, or an empty text."""
    if not is_folder(path):
        return file_problem(path)
    if reason := folder_problem(path):
        return reason
    return (
        ""
        if (Path(path) / SAVED_MODEL).is_file()
        else f"{path} is a folder without {SAVED_MODEL}: it is not a SavedModel"
    )


def file_problem(path: str) -> str:
    """Return why the file at `path` cannot be read, or an empty text."""
    return _problem(path, "file", stat.S_ISREG, os.R_OK)


def folder_problem(path: str) -> str:
    """Return why the folder at `path` cannot be read, or an empty text."""
    return _problem(path, "folder", stat.S_ISDIR, os.R_OK | os.X_OK)


def is_folder(path: str) -> bool:
    """Return whether there is a folder at `path`, which may be any text."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def relative_hint(path: str) -> str:
    """Return a hint for a message: what a relative path is relative to."""
    return "" if Path(path).is_absolute() else " (paths are relative to the folder in which Snakemake is started)"


def windows_hint(path: str) -> str:
    """Return a hint for a message: how to write a Windows path here; an empty text for other paths."""
    if "\\" not in path and not PureWindowsPath(path).drive:
        return ""
    windows_path = PureWindowsPath(path)
    drive, here = windows_path.drive, windows_path.as_posix()
    if drive.endswith(":"):  # where the Windows Subsystem for Linux mounts the drives
        here = f"/mnt/{drive[0].lower()}/{here[len(drive) :].lstrip('/')}"
    return f"; this is a Windows path: here it may be {here}"


def overlap(path: str, other: str) -> bool:
    """Return whether two folders are the same, or one lies within the other."""
    first, second = os.path.realpath(path), os.path.realpath(other)
    return os.path.commonpath([first, second]) in (first, second)


def _problem(path: str, noun: str, is_right: Callable[[int], bool], access: int) -> str:
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return f"the {noun} {path} does not exist{windows_hint(path) or relative_hint(path)}"
    except OSError as error:
        return f"the {noun} {path} cannot be read: {error.strerror}"
    except ValueError:
        return f"the {noun} {path!r} does not exist: no file can have this name"
    if not is_right(mode):
        return f"{path} is not a {noun}{relative_hint(path)}"
    if not os.access(path, access):
        return f"the {noun} {path} cannot be read: Permission denied"
    return ""
