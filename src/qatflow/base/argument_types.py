"""Types of command-line arguments."""

import argparse
import contextlib
import math
from collections.abc import Callable


def within(kind: type[int] | type[float], low: float, high: float | None = None) -> Callable[[str], int | float]:
    """Return a `type` for argparse: a number from `low` to `high`, both included; None: of any size."""
    words = f"a {'whole ' if kind is int else ''}number from {low:,}{'' if high is None else f' to {high:,}'}"

    def read(text: str) -> int | float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if low <= value and (high is None or value <= high) and math.isfinite(value):
                return value
        raise argparse.ArgumentTypeError(f"must be {words}; got {text!r}")

    return read
