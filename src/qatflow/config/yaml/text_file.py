"""The text of a configuration file: only regular files are read, and only up to a limit."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.errors import UserError

MAX_BYTES = 1_000_000
MAX_PROBLEMS = 100
REPLACED = "\ufffd"
"""In the text, in place of what could not be read."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")  # YAML has none


@dataclass(frozen=True)
class DecodedText:
    """The text of a file.

    Attributes:
        content: its characters, with `REPLACED` in place of those that YAML does not allow.
        problems: the line of each, counted from 1, and what is wrong there.
    """

    content: str
    problems: tuple[tuple[int, str], ...]


def shown(path: Path) -> str:
    """Return `path` as messages name it: relative if it lies within the working directory."""
    absolute = Path.cwd() / path
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)


def read_text(path: Path) -> DecodedText:
    """Read the file at `path`, but not more of it than a configuration can have.

    Raises:
        UserError: it is not a regular file, cannot be read, or is too large.
    """
    content = _bytes(path)
    problems: list[tuple[int, str]] = []
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append((number, f"the byte {line[error.start]:#04x} is not UTF-8; save the file as UTF-8"))
            text = line.decode("utf-8", "replace")
        if control := _CONTROL.search(text):
            problems.append((number, f"the control character {ord(control[0]):#04x} is not allowed; remove it"))
    text = content.decode("utf-8-sig", "replace")
    return DecodedText(_CONTROL.sub(REPLACED, text), tuple(problems[:MAX_PROBLEMS]))


def _bytes(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{shown(path)}: cannot be read: it is a device or a pipe; give a file")
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{shown(path)}: cannot be read: no file can have this name") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{shown(path)}: larger than {MAX_BYTES:,} bytes; this is not a configuration file")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open a file. A pipe is opened without waiting for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)
