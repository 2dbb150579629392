"""Lines of text and, on a terminal, a last one that is written over."""

import os
import shutil
from typing import TextIO

BOLD, RED, DIM, RESET = "\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
_TO_END = "\x1b[K"


class Screen:
    """Where a run's messages go.

    Attributes:
        live: whether it is a terminal, whose last line can be written over.
    """

    def __init__(self, stream: TextIO, coloured: bool = True) -> None:
        self._stream = stream
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self.live and coloured and not os.environ.get("NO_COLOR")
        self._status = ""
        self._broken = False

    def line(self, text: str, style: str = "") -> None:
        """Write lines of text that stay, and the status below them again.

        Args:
            text: one line or several.
            style: how the first looks on a terminal with colours.
        """
        if style and self._coloured:
            first, end, rest = text.partition("\n")
            text = f"{style}{first}{RESET}{end}{rest}"
        clear = f"\r{_TO_END}" if self._status else ""
        self._write(f"{clear}{text}\n{self._shown()}")

    def status(self, text: str) -> None:
        """Write over the last line, cut to the terminal's width; nothing where there is no terminal."""
        if self.live and text != self._status:
            self._status = text
            self._write(f"\r{self._shown()}{_TO_END}")

    @property
    def columns(self) -> int:
        """How long the status may be."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns - 1
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns - 1

    def _shown(self) -> str:
        return self._status[: self.columns]

    def _write(self, text: str) -> None:
        if self._broken:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # `| head` has read enough, or the terminal is gone: the run goes on
            self._broken = True
