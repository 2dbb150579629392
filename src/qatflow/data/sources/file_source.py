"""Base of the sources whose pictures are files: read one by one, and kept byte for byte."""

import os
import stat
from pathlib import Path

from qatflow.data.picture import Encoded, RejectedError, stored
from qatflow.data.sources.listing import Listing, Rejected

LARGEST_FILE = 1 << 28  # bytes; the file and its pixels must fit into the memory that the rule requests per core


class FileSource:
    """A source whose pictures are files below a folder, listed by their paths there.

    Args:
        root: the folder.
        origin: where the pictures come from, in words.
        inputs: the file that the folder was unpacked from, if it was.
    """

    licence = "not stated"
    array_shape: tuple[int, ...] | None = None
    labels: tuple[str, ...] = ()

    def __init__(self, root: Path, origin: str, inputs: tuple[Path, ...] = ()) -> None:
        self.origin = origin
        self.inputs = inputs
        self.pictures = Listing()
        self.rejected: list[Rejected] = []
        self.warnings: list[str] = []
        self._root = root

    def encoded(self, index: int) -> Encoded:
        """Return one picture's original bytes, or the PNG it was converted to."""
        try:
            content = _content(self._path(index))
        except (OSError, ValueError) as error:
            raise RejectedError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
        return stored(content)

    def version(self, index: int) -> tuple[int, ...]:
        """Return size (bytes) and time (ns) of a file; empty if it was unpacked, or does not exist."""
        if self.inputs:
            return ()
        try:
            about = self._path(index).stat()
        except (OSError, ValueError):
            return ()
        return about.st_size, about.st_mtime_ns

    def _path(self, index: int) -> Path:
        return self._root / os.fsdecode(self.pictures.name(index))


def _content(path: Path) -> bytes:
    """Return a file's bytes; reading anything else, such as a FIFO or a disk, might never end."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise RejectedError(
            "a link to a folder, which is not followed" if path.is_symlink() else "a folder, not a file"
        )
    if not stat.S_ISREG(about.st_mode):
        raise RejectedError("neither a file nor a folder")
    if about.st_size > LARGEST_FILE:
        raise RejectedError(f"too large: a file of {about.st_size} bytes, more than {LARGEST_FILE}")
    return path.read_bytes()
