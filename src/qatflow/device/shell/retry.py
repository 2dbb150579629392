"""Retries, with growing pauses, of failures that may pass by themselves."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from qatflow.device.interface import DeviceError

T = TypeVar("T")
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before the second, third … attempt: a phone whose cable was touched is back within a few seconds."""


class PassingError(DeviceError):
    """The device is away for the moment, or data arrived damaged; the same call may succeed in a few seconds."""


def persist(attempt: Callable[[], T], waits: Sequence[float]) -> T:
    """Return what `attempt` returns, calling it again after each of `waits` seconds while it raises PassingError.

    Each retry is announced on stderr. The PassingError of the last attempt, and any other exception, is raised.
    """
    for wait in waits:
        try:
            return attempt()
        except PassingError as error:
            print(f"{error}\ntrying again in {wait:g} s", file=sys.stderr, flush=True)
            time.sleep(wait)
    return attempt()
