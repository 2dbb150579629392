"""SIGTERM (from a cluster) and SIGINT (Ctrl-C): the state is saved after the current step, then the process ends."""

import os
import re
import signal
import threading
from types import TracebackType
from typing import Any

WORDS = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupted"}
"""What a message calls each signal that ends a training."""
PATIENCE = 8.0
"""Seconds after which the process ends wherever it is, with the last checkpoint kept. Clusters wait for thirty."""


def position_in(log: str) -> str | None:
    """Return where a training will continue, as `epoch 3, step 120`, from its log; None if no signal ended it."""
    positions = re.findall(rf"^(?:{'|'.join(WORDS.values())}) .*\b(epoch \d+, step \d+)", log, re.MULTILINE)
    return positions[-1] if positions else None


class TerminatedError(Exception):
    """A signal has arrived, and the work may stop here.

    Attributes:
        signal: which one.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def word(self) -> str:
        """What messages call the signal: `terminated` or `interrupted`."""
        return WORDS[self.signal]

    @property
    def status(self) -> int:
        """The exit status that a shell reports for it: 128 plus the number of the signal."""
        return 128 + self.signal


class Termination:
    """A context in which SIGTERM and SIGINT are noted instead of ending the process at once.

    Attributes:
        saved: where the last checkpoint is, for a message; an empty text where there is none.
    """

    def __init__(self) -> None:
        self.saved = ""
        self._asked: int | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._late: threading.Timer | None = None

    def check(self) -> None:
        """Raise TerminatedError if a signal has arrived: call it wherever the work can be resumed."""
        if self._asked is not None:
            raise TerminatedError(self._asked)

    def __enter__(self) -> "Termination":
        for number in WORDS:
            # a shell starts background jobs with SIGINT ignored
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
        return f": the same command continues from {self.saved}" if self.saved else ""
