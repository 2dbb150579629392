"""SIGTERM, as a cluster sends it before it kills: the state is saved at the next step, and in any case it ends soon."""

import os
import signal
import threading
from types import TracebackType
from typing import Any

STATUS = 143  # 128 + SIGTERM, what a shell reports
PATIENCE = 8.0
"""Seconds after which the process ends wherever it is; the last checkpoint stands. Clusters wait for thirty."""


class TerminatedError(Exception):
    """SIGTERM has come, and the work may stop here."""


class Termination:
    """While it is entered, SIGTERM is taken note of instead of ending the process at once."""

    def __init__(self) -> None:
        self._asked = False
        self._previous: Any = None
        self._late: threading.Timer | None = None

    def check(self) -> None:
        """Raise TerminatedError if SIGTERM has come: call it wherever the work can be taken up again."""
        if self._asked:
            raise TerminatedError

    def __enter__(self) -> "Termination":
        self._previous = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.signal(signal.SIGTERM, self._previous)
        if self._late is not None:
            self._late.cancel()

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True
        if self._late is None:
            self._late = threading.Timer(PATIENCE, self._leave)
            self._late.daemon = True
            self._late.start()

    @staticmethod
    def _leave() -> None:
        print("terminated within a long step; the state of the last checkpoint stands", flush=True)
        os._exit(STATUS)
