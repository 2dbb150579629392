"""Progress of a long job: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

EVERY = 10.0  # seconds between lines in a log
LINE = "{n_fmt} of {total_fmt} {unit} ({percentage:.0f} %), {rate_fmt}, {remaining} left"


class ProgressDisplay:
    """Shows how much of a total is done, with rate and time left, on standard error."""

    def __init__(self, total: int, unit: str, stream: TextIO | None = None) -> None:
        self._total, self._unit = total, unit
        self._stream = stream or sys.stderr
        self._bar = tqdm(total=total, unit=f" {unit}", file=self._stream) if self._stream.isatty() else None
        self._before, self._now = 0, 0
        self._printed, self._printed_at = 0, time.monotonic()

    def go_on(self) -> None:
        """Start the next part of the job: later calls of `show` count from here."""
        self._before = self._now

    def show(self, done: int) -> None:
        """Show that `done` of this part are done; in a log, only if the last line is old enough."""
        self._now = done = self._before + done
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            return
        elapsed = time.monotonic() - self._printed_at
        if elapsed < EVERY:
            return
        rate = (done - self._printed) / elapsed
        line = tqdm.format_meter(
            done,
            self._total,
            elapsed,
            rate=rate or None,
            unit=f" {self._unit}",
            bar_format=LINE.replace("{unit}", self._unit),
        )
        print(line, file=self._stream, flush=True)
        self._printed, self._printed_at = done, self._printed_at + elapsed

    def close(self) -> None:
        """End the bar, so that later output starts below it."""
        if self._bar is not None:
            self._bar.close()
