"""How far a long job has come: a bar on a terminal, a line now and then in a log."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

EVERY = 10.0  # seconds between lines in a log
LINE = "{n_fmt} of {total_fmt} {unit} ({percentage:.0f} %), {rate_fmt}, {remaining} left"


class ProgressDisplay:
    """Shows done of total with rate and time left, on standard error."""

    def __init__(self, total: int, unit: str, stream: TextIO | None = None) -> None:
        self._total, self._unit = total, unit
        self._stream = stream or sys.stderr
        self._bar = tqdm(total=total, unit=f" {unit}", file=self._stream) if self._stream.isatty() else None
        self._before, self._now = 0, 0
        self._said, self._said_at = 0, time.monotonic()

    def go_on(self) -> None:
        """Count what is shown from now on from the last that was."""
        self._before = self._now

    def show(self, done: int) -> None:
        """Say that `done` are done, if it is time to say something."""
        self._now = done = self._before + done
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            return
        elapsed = time.monotonic() - self._said_at
        if elapsed < EVERY:
            return
        rate = (done - self._said) / elapsed
        line = tqdm.format_meter(
            done,
            self._total,
            elapsed,
            rate=rate or None,
            unit=f" {self._unit}",
            bar_format=LINE.replace("{unit}", self._unit),
        )
        print(line, file=self._stream, flush=True)
        self._said, self._said_at = done, self._said_at + elapsed

    def close(self) -> None:
        """Leave the bar as it is and go on below it."""
        if self._bar is not None:
            self._bar.close()
