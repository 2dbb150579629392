"""What a run says first, and a dry run at all: the jobs, why they are due, how long they are likely to take.

It goes with Snakemake's records to the logger `qatflow` (src/snakemake_logger_plugin_qatflow), as their attribute
`qatflow`: a filter of Snakemake's logger runs where a record is made, so that nothing else touches the jobs meanwhile.
"""

import contextlib
import logging
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from qatflow.base.errors import UserError
from qatflow.workflow.expected import Expected, expected, note_cost, wall_seconds
from qatflow.workflow.reasons import made, reason
from snakemake_logger_plugin_qatflow.jobs import label

WIDTH = 110
"""Columns of the paragraphs."""


def duration(seconds: float) -> str:
    """Return a time that is estimated, in words: two figures and no more."""
    if seconds < 100:
        step = 1 if seconds < 10 else 5
        return f"{max(1, round(seconds / step) * step)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


@dataclass
class Announcement(logging.Filter):
    """A filter that keeps every record, and attaches to some what the run's jobs are.

    Attributes:
        workflow: Snakemake's Workflow; its jobs are there when the records come.
        cores: that jobs share; None: a cluster has enough.
        log_of_run: returns the file with all of Snakemake's messages; None in a dry run.
    """

    workflow: Any
    cores: int | None
    log_of_run: Callable[[], str | None]
    _said: bool = False
    _time_known: bool = field(default=True)

    def __post_init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:
        return id(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Attach `qatflow` to the records of planned and of starting jobs."""
        event = getattr(record, "event", None)
        if event == "run_info" and not self._said:
            self._said = True
            record.qatflow = self._plan()
        elif event == "job_info":
            self._note_cost(record)
            record.qatflow = {"left": len(self._due()), "lines": self._time_now_known()}
        return True

    def _note_cost(self, record: logging.LogRecord) -> None:
        """Note what the job is expected to cost, by which its time is scaled where settings change."""
        dag, number = self.workflow.dag, getattr(record, "jobid", None)
        job = None if self.workflow.dryrun else next((job for job in dag.jobs if dag.jobid(job) == number), None)
        if job is not None:
            with contextlib.suppress(OSError, UserError):  # without the note, times are not scaled
                note_cost(job, record.created, self._cores)

    def _due(self) -> list[Any]:
        """Return the unfinished jobs that make something, each after those that it waits for."""
        dag = self.workflow.dag
        due = dict.fromkeys(sorted(dag.needrun_jobs(), key=dag.jobid))
        order = TopologicalSorter({job: [one for one in dag.dependencies[job] if one in due] for job in due})
        return [job for job in order.static_order() if job.output]

    def _plan(self) -> Mapping[str, Any]:
        jobs = self._due()
        dry = bool(self.workflow.dryrun)
        log = None if dry else self.log_of_run()
        lines = self._table(jobs) if dry else self._summary(jobs, log)
        return {"lines": lines, "left": len(jobs), "log": log}

    def _summary(self, jobs: Sequence[Any], log: str | None) -> list[str]:
        counts = Counter(job.rule.name for job in jobs)
        names = [name if count == 1 else f"{name} × {count}" for name, count in counts.items()]
        return [
            f"{_number(len(jobs))}, {self._time(jobs)}:",
            *textwrap.wrap(", ".join(names), WIDTH, initial_indent="  ", subsequent_indent="  "),
            f"Their logs are in logs/, by rule; the log of the run is {log}"
            if log
            else "Their logs are in logs/, by rule",
        ]

    def _table(self, jobs: Sequence[Any]) -> list[str]:
        dag, persistence = self.workflow.dag, self.workflow.persistence
        rows = [("job", "time", "makes", "why")]
        for job in jobs:
            seconds = expected(job, persistence, self._cores).seconds
            rows.append(
                (
                    label(job.rule.name, job.wildcards_dict),
                    "?" if seconds is None else duration(seconds),
                    made(job.output),
                    reason(job, dag),
                )
            )
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        rows.insert(1, (*("-" * width for width in widths), "---"))  # type: ignore[arg-type]
        again = dict.fromkeys(job.rule.name for job in jobs if job.rule.is_checkpoint)
        return [
            *(
                f"{job:<{widths[0]}}  {time:>{widths[1]}}  {makes:<{widths[2]}}  {why}"
                for job, time, makes, why in rows
            ),
            f"total {_number(len(jobs))}, {self._time(jobs)}",
            *(
                [f"After {' and '.join(again)} the jobs are planned again: there may be more or fewer."]
                if again
                else []
            ),
            "This was a dry run: nothing is made. --verbose shows the inputs of each job too.",
        ]

    @property
    def _cores(self) -> int:
        return self.cores or 4

    def _time(self, jobs: Sequence[Any]) -> str:
        """Return how long the jobs take together, and what that is taken from."""
        persistence = self.workflow.persistence
        each = {job: expected(job, persistence, self._cores) for job in jobs}
        unknown = [job for job, one in each.items() if one.seconds is None]
        self._time_known = not unknown
        seconds = {job: one.seconds or 0.0 for job, one in each.items()}
        before = {job: [one for one in self.workflow.dag.dependencies[job] if one in each] for job in jobs}
        threads = {job: int(job.threads) for job in jobs}
        total = duration(wall_seconds(before, seconds, threads, self.cores))
        queue = ", without the time in the queue" if self.cores is None else ""
        if len(unknown) == len(jobs):
            return "for a time that is not known yet"
        if unknown:
            return f"at least {total} (an estimate{queue}, without {len(unknown)} whose time is not known yet)"
        return f"about {total} (an estimate {_source(list(each.values()))}{queue})"

    def _time_now_known(self) -> list[str]:
        """Return a line with the time that is left, once: when the pictures are prepared by which it is counted."""
        if self._time_known or self.workflow.dryrun:
            return []
        said = self._time(self._due())
        return [f"To go: {said}"] if self._time_known else []


def _source(each: Sequence[Expected]) -> str:
    earlier = sum(one.earlier for one in each)
    if earlier == len(each):
        return "from earlier runs"
    if not earlier:
        return "by what the jobs cost on another machine"
    return f"from earlier runs of {earlier} of them"


def _number(jobs: int) -> str:
    return f"{jobs} job{'' if jobs == 1 else 's'}"


def announce(workflow: Any, cores: int | None) -> None:
    """Attach what a run is about to Snakemake's records, for the logger `qatflow`; other loggers do not look at it."""
    from snakemake.logging import logger

    def log_of_run() -> str | None:
        files = workflow.logger_manager.get_logfile()
        return str(files[0]) if files else None

    for old in [one for one in logger.filters if isinstance(one, Announcement)]:
        logger.removeFilter(old)
    logger.addFilter(Announcement(workflow, cores, log_of_run))


def settle(workflow: Any) -> None:
    """Let the logger write all that it was sent, so that what is printed next comes after it."""
    from snakemake.logging import logger

    logger.info("", extra={"qatflow": {"finished": True}})
    listener = workflow.logger_manager.queue_listener
    if listener is not None:
        listener.queue.join()
