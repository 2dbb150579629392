"""What a run says last after Ctrl-C: that the same command continues, and from where."""

from collections.abc import Mapping
from pathlib import Path

from qatflow.training.termination import position_in


def goes_on(stopped: Mapping[str, Path | None]) -> str:
    """Return the line.

    Args:
        stopped: the jobs that ran when the interrupt came, by name, with their logs; None: it has none.
    """
    if not stopped:
        return "interrupted: run the same command again to continue after the last finished stage"
    where = ", ".join(_where(name, log) for name, log in stopped.items())
    return f"interrupted: run the same command again to continue {where}"


def _where(name: str, log: Path | None) -> str:
    try:
        position = None if log is None else position_in(log.read_text(encoding="utf-8", errors="replace"))
    except OSError:  # it ended before it wrote anything
        position = None
    return f"with {name}" if position is None else f"from {position} of {name}"
