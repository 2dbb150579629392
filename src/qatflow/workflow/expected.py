"""How long a run is likely to take: from earlier runs of its jobs and, where there are none, from what they cost.

An earlier run with other settings (epochs, pictures) is scaled by what both are expected to cost.
"""

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.workflow.cost import LIGHT_SECONDS, MEASURED_CORES
from qatflow.workflow.cost_notes import cost_of_last_run, note

START_SECONDS = 8.0
"""Imports and tracing, which grow with neither epochs nor pictures, and are in no cost."""


@dataclass(frozen=True)
class Expected:
    """What a job is expected to take.

    Attributes:
        seconds: None: not known.
        earlier: whether an earlier run of the same job took as long.
    """

    seconds: float | None
    earlier: bool = False


def expected(job: Any, persistence: Any, cores: int) -> Expected:
    """Return what Snakemake's `job` is expected to take.

    Args:
        job: the job.
        persistence: Snakemake's notes of earlier jobs.
        cores: of the run; costs are counted for the cores of the machine that was measured.
    """
    measured = _benchmark(job.benchmark) if job.benchmark else None
    if measured is not None:
        return Expected(measured * _changed(job, cores), earlier=True)
    noted = _noted(job, persistence)
    return Expected(_cost(job, cores)) if noted is None else Expected(noted, earlier=True)


def note_cost(job: Any, began: float, cores: int) -> None:
    """Note what Snakemake's `job`, which begins now, is expected to cost."""
    cost = _cost(job, cores)
    if job.benchmark and cost:
        note(Path(str(job.benchmark)), began, cost)


def _changed(job: Any, cores: int) -> float:
    """Return how many times as much a job costs as at its last run; 1 where that is not known."""
    before = cost_of_last_run(Path(str(job.benchmark)))
    now = _cost(job, cores) if before else None
    return (now + START_SECONDS) / (before + START_SECONDS) if now and before else 1.0


def wall_seconds(
    jobs: Mapping[Any, Iterable[Any]], seconds: Mapping[Any, float], threads: Mapping[Any, int], cores: int | None
) -> float:
    """Return how long jobs take together: as long as the longest chain, and as all their work on all cores.

    Args:
        jobs: each with those that it waits for; in an order in which these come first.
        seconds: of each job.
        threads: of each job.
        cores: that share the work; None: a cluster, which has enough.
    """
    ends: dict[Any, float] = {}
    for job, before in jobs.items():
        ends[job] = seconds[job] + max((ends[one] for one in before), default=0.0)
    longest = max(ends.values(), default=0.0)
    if cores is None:
        return longest
    return max(longest, sum(seconds[job] * min(threads[job], cores) for job in jobs) / cores)


def _benchmark(path: Any) -> float | None:
    """Return the seconds of Snakemake's benchmark file, as JSON or as the older table; None where it cannot be read."""
    try:
        lines = Path(str(path)).read_text(encoding="utf-8").splitlines()
        return float(json.loads(lines[-1])["s"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def _noted(job: Any, persistence: Any) -> float | None:
    record = persistence.metadata(job.output[0]) if job.output else None
    if record is None or record.starttime is None or record.endtime is None:
        return None
    seconds = float(record.endtime) - float(record.starttime)
    return seconds if seconds > 0 else None


def _cost(job: Any, cores: int) -> float | None:
    """Return the seconds that `qatflow.workflow.cost` expects, by the function that the rule's `runtime` has for it."""
    runtime = job.rule.resources.get("runtime")
    seconds = getattr(getattr(runtime, "_evaluator", runtime), "seconds", None)
    if seconds is None:
        return LIGHT_SECONDS if not job.benchmark else None
    given = {"wildcards": job.wildcards, "input": job.input, "threads": job.threads}
    given_to = inspect.signature(seconds).parameters
    try:
        found = float(seconds(**{name: given[name] for name in given_to}))
    except FileNotFoundError:  # the pictures are not prepared yet
        return None
    if "threads" in given_to:  # it counts the job's cores itself
        return found
    return found * MEASURED_CORES / min(job.threads, cores)
