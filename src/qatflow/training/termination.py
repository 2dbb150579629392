"""SIGTERM, which a cluster sends, and SIGINT, which Ctrl-C sends: the state is saved at the next step, then it ends."""

import os
import re
import signal
import threading
from types import TracebackType
from typing import Any

WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
"""What a message calls each signal that ends a training."""
PATIENCE = 8.0
"""Seconds after which the process ends wherever it is; the last checkpoint stands. Clusters wait for thirty."""


def position_in(log: str) -> str | None:
    """Return where a training goes on, as `epoch 3, step 120`, from the log of one that a signal ended; else None."""
    found = re.findall(rf"^(?:{'|'.join(WORDS.values())}) .*\b(epoch \d+, step \d+)", log, re.MULTILINE)
    return found[-1] if found else None


class TerminatedError(Exception):
    """A signal has come, and the work may stop here.

    Attributes:
        signal: which one.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def word(self) -> str:
        """What a message calls it."""
        return WORDS[self.signal]

    @property
    def status(self) -> int:
        """The exit status that a shell reports for it: 128 and the number of the signal."""
        return 128 + self.signal


class Termination:
    """While it is entered, SIGTERM and SIGINT are taken note of instead of ending the process at once.

    Attributes:
        saved: where the last checkpoint is, for a message; an empty text where there is none.
    """

    def __init__(self) -> None:
        self.saved = ""
        self._asked: int | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._late: threading.Timer | None = None

    def check(self) -> None:
        """Raise TerminatedError if a signal has come: call it wherever the work can be taken up again."""
        if self._asked is not None:
            raise TerminatedError(self._asked)

    def __enter__(self) -> "Termination":
        for number in WORDS:
            # a shell starts what runs in the background with SIGINT ignored
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._late is not None:
            self._late.cancel()

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = number
        if self._late is None:
            self._late = threading.Timer(PATIENCE, self._leave)
            self._late.daemon = True
            self._late.start()

    def _leave(self) -> None:
        assert self._asked is not None
        ended = TerminatedError(self._asked)
        print(f"{ended.word} within a long step; the state of the last checkpoint stands{self._from()}", flush=True)
        os._exit(ended.status)

    def _from(self) -> str:
        return f": the same command goes on from {self.saved}" if self.saved else ""
