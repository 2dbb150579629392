"""Failures that pass by themselves, tried again with growing pauses."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from qatflow.device.interface import DeviceError

T = TypeVar("T")
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before the second, third … attempt: a phone whose cable was touched is back within a few."""


class PassingError(DeviceError):
    """The device is away or came back changed for the moment; the same call may succeed in a few seconds."""


def persist(attempt: Callable[[], T], waits: Sequence[float]) -> T:
    """Return what `attempt` returns, calling it again after each of `waits` seconds while it raises PassingError.

    Every further attempt is told on stderr. The last one's PassingError, and any other exception, is raised.
    """
    for wait in waits:
        try:
            return attempt()
        except PassingError as error:
            print(f"{error}\ntrying again in {wait:g} s", file=sys.stderr, flush=True)
            time.sleep(wait)
    return attempt()
