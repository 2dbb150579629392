"""Unpacks an untrusted tar or zip archive: into one folder, within limits, complete or not at all."""

import functools
import json
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from qatflow.base.errors import UserError
from qatflow.base.files import FULL, sha256, whole_folder, write_text

BLOCK = 1 << 20
MAX_FILES = 2_000_000
LARGEST_GROWTH = 100  # pictures are already compressed; a zip bomb grows a thousandfold
ALWAYS_ALLOWED = 64 << 20  # bytes, however small the archive is
# What the standard library raises for archives that are damaged, encrypted, or compressed in an unknown way.
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip
BY_HAND = "unpack it yourself, and give the folder"

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    """An entry of an archive; `kind` is `file`, `folder`, or None for anything else."""

    name: str
    kind: str | None
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar (plain, gz, bz2 or xz) or zip archive, by its start; False if it is unreadable."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except DAMAGE:
        return False


def extract(archive: Path, folder: Path, *, max_bytes: int | None = None, max_files: int = MAX_FILES) -> None:
    """Unpack into `folder`, replacing what was there.

    Only names and contents are used: owners, permissions and times are ignored, and links and devices are refused.

    Args:
        archive: a tar (plain, gz, bz2 or xz) or zip file.
        folder: appears complete or not at all.
        max_bytes: of all files together; None: 100 times the archive's size, at least 64 MiB.
        max_files: number of files and folders.

    Raises:
        UserError: the archive is damaged or encrypted; a path in it leaves the folder, occurs twice, or is neither a
            file nor a folder; a limit is exceeded; or the disk is full. Nothing is left behind then.
    """
    left = max(ALWAYS_ALLOWED, LARGEST_GROWTH * archive.stat().st_size) if max_bytes is None else max_bytes
    allowed = left
    entries = _zip_entries if zipfile.is_zipfile(archive) else _tar_entries
    with whole_folder(folder) as root:
        for number, entry in enumerate(_undamaged(archive, entries(archive))):
            if number == max_files:
                raise UserError(f"{archive} holds more than {max_files} files: {BY_HAND}")
            file = _make(archive, entry, root)
            if file is None:
                continue
            with file:
                for block in _undamaged(archive, _blocks(entry)):
                    left -= len(block)
                    if left < 0:
                        raise UserError(f"{archive} holds more than {allowed} bytes when unpacked: {BY_HAND}")
                    file.write(block)


def extract_once(archive: Path, folder: Path, max_bytes: int | None = None) -> None:
    """Unpack like `extract`, unless `folder` still holds what an earlier call unpacked from the same bytes.

    `<folder>.json` beside it records what was unpacked. If anything is missing, new or changed since then, everything
    is unpacked again.
    """
    mark = folder.with_name(f"{folder.name}.json")
    digest = sha256(archive)
    if mark.is_file() and mark.read_text(encoding="utf-8") == _mark(digest, folder):
        return
    mark.unlink(missing_ok=True)
    extract(archive, folder, max_bytes=max_bytes)
    write_text(mark, _mark(digest, folder))


def _mark(digest: str, folder: Path) -> str:
    """Return a line of JSON with the archive's SHA-256, and values that change when anything in the folder changes."""
    size, newest = 0, 0
    for here, _, names in os.walk(folder):
        for about in (Path(here, name).lstat() for name in ("", *names)):
            newest = max(newest, about.st_mtime_ns)
            size += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return json.dumps({"sha256": digest, "bytes": size, "newest_ns": newest}) + "\n"


def _make(archive: Path, entry: _Entry, root: Path) -> IO[bytes] | None:
    """Create the entry's folder and return None, or return its file opened for writing."""
    inside = PurePosixPath(entry.name.replace("\\", "/"))
    if inside.is_absolute() or ".." in inside.parts:
        raise UserError(f"{archive}: the path {entry.name!r} in it leaves the folder: nothing was unpacked; {BY_HAND}")
    if entry.kind is None:
        raise UserError(
            f"{archive}: {entry.name!r} is neither a file nor a folder: nothing was unpacked; pack files for links "
            "(tar --dereference --hard-dereference)"
        )
    path = root / PurePosixPath(entry.name)
    try:
        if entry.kind == "folder":
            path.mkdir(parents=True, exist_ok=True)
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{archive}: {entry.name!r} cannot be unpacked ({reason}): {BY_HAND}") from error


def _blocks(entry: _Entry) -> Iterator[bytes]:
    source = entry.open()
    if source is None:
        raise tarfile.ReadError(f"{entry.name!r} has no content")
    with source:
        while block := source.read(BLOCK):
            yield block


def _undamaged(archive: Path, items: Iterator[T]) -> Iterator[T]:
    """Yield the items; errors of reading them become UserErrors, errors of the caller do not."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except DAMAGE as error:
            raise UserError(
                f"{archive} is damaged or cut off, or encrypted ({error}): fetch or pack it again"
            ) from error
        yield item


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # otherwise it keeps a kilobyte per file
            kind = "folder" if member.isdir() else "file" if member.isreg() else None
            yield _Entry(member.name, kind, functools.partial(tar.extractfile, member))
        # tarfile takes anything that is not a header for the end, and does not read the compressor's checksum
        assert tar.fileobj is not None
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it has no end")
        while tar.fileobj.read(BLOCK):
            pass


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where it was not packed on Unix
            known = "folder" if info.is_dir() else "file"
            yield _Entry(
                info.filename,
                known if kind in (0, stat.S_IFREG, stat.S_IFDIR) else None,
                functools.partial(file.open, info),
            )
