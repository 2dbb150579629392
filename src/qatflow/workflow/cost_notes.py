"""What each job was expected to cost when it last began: with other settings its earlier time is scaled by that."""

import json
from pathlib import Path
from typing import Any

from qatflow.base.files import write_json

FOLDER = Path(".snakemake/costs")
"""A file for each job: when its last runs began, in seconds since the epoch, and their costs in seconds."""


def note(benchmark: Path, began: float, cost: float) -> None:
    """Note the cost of a job that begins, and forget those from before its last run that ended."""
    before = _of_last_run(benchmark)
    write_json(_file(benchmark), [*([before] if before else []), [began, cost]])


def cost_of_last_run(benchmark: Path) -> float | None:
    """Return the cost that was expected of the run that wrote the benchmark file; None if it is not known."""
    entry = _of_last_run(benchmark)
    return None if entry is None else entry[1]


def _of_last_run(benchmark: Path) -> list[float] | None:
    """Return the last entry from before the benchmark file was written, at the end of a job that was not killed."""
    try:
        ended = benchmark.stat().st_mtime
        entries: Any = json.loads(_file(benchmark).read_text(encoding="utf-8"))
        return next(([float(began), float(cost)] for began, cost in reversed(entries) if began <= ended), None)
    except (OSError, ValueError, TypeError):
        return None


def _file(benchmark: Path) -> Path:
    return FOLDER / f"{str(benchmark).lstrip('/')}.json"
