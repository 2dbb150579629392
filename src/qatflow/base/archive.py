"""Unpack a tar or zip archive that may come from anywhere: below one folder, in bounds, whole or not at all."""

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
LARGEST_GROWTH = 100  # pictures are packed already; a bomb grows a thousandfold
ALWAYS_ALLOWED = 64 << 20  # bytes, however small the archive is
# What the standard library raises for archives that are damaged, encrypted, or packed in a way it does not know.
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip
BY_HAND = "unpack it yourself, and give the folder"

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    """What an archive says of one thing in it; `kind` is None for all that is neither file nor folder."""

    name: str
    kind: str | None
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Return whether a file begins as a tar (plain, gz, bz2 or xz) or is a zip archive; False if it cannot be read."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except DAMAGE:
        return False


def extract(archive: Path, folder: Path, *, max_bytes: int | None = None, max_files: int = MAX_FILES) -> None:
    """Unpack into `folder`, in place of whatever was there.

    Only names and contents are taken over: no owners, rights or times, and no links or devices, which are refused.

    Args:
        archive: a tar (plain, gz, bz2 or xz) or zip file.
        folder: appears whole or not at all.
        max_bytes: of all files together; None: 100 times the archive's own, at least 64 MiB.
        max_files: files and folders.

    Raises:
        UserError: the archive is damaged or encrypted; a path in it leaves the folder, comes twice, or is neither a
            file nor a folder; a bound is exceeded; or the disk is full. Nothing is left then.
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


def extract_once(archive: Path, folder: Path) -> None:
    """Unpack as `extract` does, unless `folder` still holds what an earlier call unpacked from the same bytes.

    `<folder>.json` beside it says what was unpacked. Whatever is gone, new or changed since has all unpacked anew.
    """
    mark = folder.with_name(f"{folder.name}.json")
    digest = sha256(archive)
    if mark.is_file() and mark.read_text(encoding="utf-8") == _mark(digest, folder):
        return
    mark.unlink(missing_ok=True)
    extract(archive, folder)
    write_text(mark, _mark(digest, folder))


def _mark(digest: str, folder: Path) -> str:
    """Return the archive's SHA-256, and what changes when anything in the folder does, as a line of JSON."""
    size, newest = 0, 0
    for here, _, names in os.walk(folder):
        for about in (Path(here, name).lstat() for name in ("", *names)):
            newest = max(newest, about.st_mtime_ns)
            size += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return json.dumps({"sha256": digest, "bytes": size, "newest_ns": newest}) + "\n"


def _make(archive: Path, entry: _Entry, root: Path) -> IO[bytes] | None:
    """Make the folder, and return None, or open the file to write."""
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
    """Yield the items; what reading them raises becomes a UserError, what the caller raises does not."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except DAMAGE as error:
            raise UserError(
                f"{archive} is damaged or cut off, or encrypted ({error}): fetch or pack it anew"
            ) from error
        yield item


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # else it keeps a kilobyte for each file
            kind = "folder" if member.isdir() else "file" if member.isreg() else None
            yield _Entry(member.name, kind, functools.partial(tar.extractfile, member))
        # tarfile takes whatever is no header for the end, and leaves the packer's own checksum unread
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
