"""What each job was expected to cost when it last began: with other settings its earlier time is scaled by that."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qatflow.base.files import write_json

FILE = Path(".snakemake/costs.json")
Notes = dict[str, list[list[float]]]
"""By the benchmark file of a job: when it began, in seconds since the epoch, and its cost in seconds; oldest first."""


def note(benchmark: Path, began: float, cost: float, file: Path = FILE) -> None:
    """Note the cost of a job that begins, and forget those from before its last run that ended."""
    notes = _read(file)
    before = _of_last_run(notes, benchmark)
    notes[str(benchmark)] = [*([before] if before else []), [began, cost]]
    write_json(file, notes)


def cost_of_last_run(benchmark: Path, file: Path = FILE) -> float | None:
    """Return the cost that was expected of the run that wrote the benchmark file; None if it is not known."""
    entry = _of_last_run(_read(file), benchmark)
    return None if entry is None else entry[1]


def _of_last_run(notes: Mapping[str, list[list[float]]], benchmark: Path) -> list[float] | None:
    """Return the last entry from before the benchmark file was written, at the end of a job that was not killed."""
    try:
        ended = benchmark.stat().st_mtime
    except OSError:
        return None
    return next((entry for entry in reversed(notes.get(str(benchmark), [])) if entry[0] <= ended), None)


def _read(file: Path) -> Notes:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
