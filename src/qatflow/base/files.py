"""Writes files and folders that appear complete or not at all."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exceeded quota and a file size limit."""


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of the file at `path`, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success the file written there becomes `path`, on failure it is removed.

    It is next to `path` and is renamed to it; if `path` is a symbolic link, the link's final target is replaced. What
    is not a regular file (a FIFO, a terminal, /dev/stdout wherever it leads) is never replaced: the whole content is
    written to it at the end.

    Raises:
        UserError: `path` cannot be written, or its disk is full.
    """
    with _as_user_error(path):
        target = _replaceable(path)
        folder = None if target is None else target.parent
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            _sweep(folder, path.name)
        descriptor, name = tempfile.mkstemp(prefix=_prefix(path.name), suffix=path.suffix, dir=folder)
        os.close(descriptor)
    temporary = Path(name)
    try:
        with _as_user_error(path, only=FULL):
            yield temporary
        with _as_user_error(path):
            if target is None:
                _write_through(temporary, path)
            else:
                # mkstemp, and what some writers put in its place, is private to the owner
                temporary.chmod(temporary.stat().st_mode | 0o644)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; on success it replaces the folder `path`, if there is one.

    If `path` is a symbolic link, its target is replaced and the link stays.

    Raises:
        UserError: `path` cannot be written, or its disk is full.
    """
    target = Path(os.path.realpath(path))
    with _as_user_error(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent, target.name)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(target.name), dir=target.parent))
        temporary.chmod(0o755)
    try:
        with _as_user_error(path, only=FULL):
            yield temporary
        replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder `new`, on the same file system, to `path`, replacing the folder there if there is one.

    If `path` is a symbolic link, its target is replaced and the link stays.

    Raises:
        UserError: `path` cannot be written.
    """
    target = Path(os.path.realpath(path))
    with _as_user_error(path):
        if target.exists():
            shutil.rmtree(target)
        new.replace(target)


def _prefix(name: str) -> str:
    """Return the start of the temporary names next to `name`: they name the machine and the process that writes."""
    return f".{name}.{socket.gethostname()}.{os.getpid()}."


def _sweep(folder: Path, name: str) -> None:
    """Remove what killed processes have left half written next to `name`."""
    ours = f".{name}.{socket.gethostname()}."
    for left in folder.glob(f"{glob.escape(ours)}*"):
        process = left.name.removeprefix(ours).split(".")[0]
        if process.isdigit() and not Path("/proc", process).exists():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_user_error(path: Path, only: Container[int] | None = None) -> Iterator[None]:
    """Turn an operating system error (only those with these numbers, if given) into one message about `path`."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        full = error.errno in FULL
        raise cannot_write(path, error.strerror or str(error), full=full) from error


def cannot_write(path: Path, reason: str, *, full: bool) -> UserError:
    """Return the error for a file that cannot be written.

    Args:
        path: of the file, or of its folder.
        reason: the operating system's words.
        full: whether the disk is full, or a quota or file size limit is reached.
    """
    way_out = "make room on its disk, or name another place" if full else "name another place"
    return UserError(f"cannot write {path}: {reason}: {way_out}")


def full_disk(text: str) -> str | None:
    """Return the operating system's words for a full disk if `text` contains them; None otherwise.

    For libraries that report write errors in texts of their own.
    """
    return next((words for words in map(os.strerror, FULL) if words in text), None)


def _replaceable(path: Path) -> Path | None:
    """Return the regular file that `path` is or leads to, or will be; None for what can only be written to."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            return None
    while Path("/proc") not in path.parent.resolve().parents:
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    return None  # /dev/stdout, /dev/fd/3 and the like: whoever has the file open would lose it


def _write_through(source: Path, path: Path) -> None:
    # appended, since standard output may be a file that already has content
    with source.open("rb") as content, path.open("ab") as file:
        shutil.copyfileobj(content, file)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, complete or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, complete or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file written by this project."""
    return json.loads(path.read_text(encoding="utf-8"))
