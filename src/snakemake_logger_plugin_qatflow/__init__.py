"""Snakemake's logger `qatflow`: what a run will do, how far it is, why it failed, and nothing else of Snakemake's.

`--verbose` shows all of Snakemake's own messages instead; the log of the run in .snakemake/log always has them.

Snakemake loads this package at each start, ahead of the Snakefile. So it imports nothing of qatflow: the Snakefile may
be that of another checkout, with a library of its own. What only the library knows comes as the attribute `qatflow` of
Snakemake's records (`qatflow.workflow.announcement`):

    RUN_INFO, JOB_INFO: `lines` to write, `left` (unfinished jobs with an output), `log` (the log of the run)
    no event: `finished`, all jobs are done
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_qatflow.jobs import INTERRUPTED, Job, duration, exit_status, failure, label
from snakemake_logger_plugin_qatflow.screen import BOLD, DIM, RED, Screen

__all__ = ["LogHandler", "LogHandlerSettings"]

_CHATTER = re.compile(
    r"Building DAG|Updating checkpoint dependencies|Using shell|Provided |Rules claiming|Job stats|Select jobs"
    r"|Execute \d|Conda environments: ignored|Singularity containers: ignored|Group jobs: inactive"
    r"|Assuming unrestricted|Config file .* is extended|DAG of jobs will be updated|Touching output|Removing temporary"
    r"|Elapsed time|Shutting down|Storing output|This was a dry-run|The run involves checkpoint|Some jobs were"
    r"|Rules with |\d+ jobs have |Exiting because a job execution failed|Reasons:|Using workflow specific|host: "
    r"|Will exit after|SLURM run ID|No SLURM account given|No account was given|Guessed SLURM account"
    r"|Unable to guess SLURM account"
    r"|Cleaning up SLURM log files|None$|$"
)
"""How those of Snakemake's messages without an event begin that are of no use to who started the run."""
_LOG_OF_RUN = "Complete log(s): "
_RETRY = re.compile(r"Trying to restart job (\d+)\.")
_SUBMITTED = re.compile(
    r"Job (?P<slurm>\d+) has been submitted with SLURM jobid (?P<its>\d+)"
    r"|Submitted job (?P<other>\d+) with external jobid '(?P<name>[^'\n]+)'"
)
_INTERRUPT = "Terminating processes on user request"
FAR_BACK = 10
"""So many lines of other jobs behind an error, and it is said again at the end."""
_JOB_FAILED = "At least one job did not complete successfully"


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """The options of the logger."""

    every: int = field(
        default=60,
        metadata={
            "help": "Without a terminal: seconds between two lines that say how far a long job is",
            "type": int,
            "env_var": False,
            "required": False,
        },
    )


class LogHandler(LogHandlerBase):
    """Writes what happens in a run to the terminal, or line by line where there is none."""

    settings: LogHandlerSettings

    def __post_init__(self) -> None:
        """Begin with no job."""
        settings = self.common_settings
        quiet = {str(getattr(one, "name", one)).lower() for one in settings.quiet or ()}
        self._quiet = bool(quiet & {"progress", "all"})
        self._says_jobs = not quiet & {"rules", "all"}
        self._silent = "all" in quiet and not settings.dryrun
        stream = sys.stdout if settings.stdout else sys.stderr
        self._screen = Screen(stream, coloured=not settings.nocolor)
        self._own = _snakemakes_own(settings, stream) if settings.verbose or settings.debug_dag else None
        self._jobs: dict[int, Job] = {}
        self._waiting: dict[int, str] = {}
        self._done = 0
        self._left: int | None = None
        self._run_log = ""
        self._causes: list[str] = []
        self._errors: dict[int, str] = {}
        self._since_error = 0
        self._interrupted = self._announced = False
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._clock: threading.Thread | None = None

    @property
    def writes_to_stream(self) -> bool:
        """Yes: Snakemake writes nothing beside it."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No: Snakemake keeps the log of the run itself."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: what is left out is decided here."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Yes: the lines are made here."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Write what a record says, if it is for the user."""
        try:
            if self._own is not None:
                self._own.handle(record)
            elif not self._silent:
                _TAKERS.get(getattr(record, "event", None), LogHandler._ignore)(self, record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """End the clock, and leave a clear last line."""
        self._ended.set()
        if self._clock is not None:
            self._clock.join(timeout=2)
        self._screen.status("")
        for cause in self._causes:
            self._error_line(cause)
        self._causes.clear()
        super().close()

    # What each record says

    def _ignore(self, record: logging.LogRecord) -> None:
        """Write nothing."""

    def _start(self, record: logging.LogRecord) -> None:
        if not self._quiet:
            self._screen.status("planning the jobs …")

    def _plan(self, record: logging.LogRecord) -> None:
        """Say what will be done; a dry run sends the numbers of jobs a second time at its end."""
        if self._announced:
            return
        self._announced = True
        self._screen.status("")
        said = self._from_library(record)
        if not said and not self._quiet:
            self._screen.line(f"{getattr(record, 'stats', {}).get('total', 0)} jobs")

    def _job(self, record: Any) -> None:
        said = self._from_library(record)
        name = label(record.rule_name, record.wildcards or {})
        if self.common_settings.dryrun:
            if not said and "lines" not in getattr(record, "qatflow", {}):
                self._screen.line(f"{name}: {str(record.reason)[:100]}")
            return
        if record.output:
            self._jobs[record.jobid] = Job(name, [str(one) for one in record.log or ()])
            self._tick()
        self._show()

    def _finish(self, record: Any) -> None:
        job = self._jobs.pop(record.job_id, None)
        if job is None:
            return
        self._errors.pop(record.job_id, None)  # of an attempt before this one
        self._done += 1
        if self._left is not None:
            self._left -= 1
        if self._says_jobs:
            self._screen.line(f"{self._place(self._done)} {job.result()}")
            self._since_error += 1
        self._show()

    def _job_error(self, record: Any) -> None:
        name = label(record.rule_name, {})
        job = self._jobs.pop(record.jobid, None) or Job(name, [])
        self._fail(record.jobid, job, [str(one) for one in record.log or ()])

    def _group_error(self, record: Any) -> None:
        for info in record.job_error_info:
            job = self._jobs.pop(info["jobid"], None) or Job(label(info["rule_name"], {}), [])
            logs = [*(info["log"] or ()), *(record.aux_logs or ())]
            self._fail(info["jobid"], job, [str(one) for one in logs])

    def _fail(self, number: int, job: Job, logs: list[str]) -> None:
        cause = self._causes.pop(0) if self._causes else ""
        self._waiting[number] = job.label
        text = failure(job, logs, cause)
        self._errors[number] = text
        if exit_status(cause) in INTERRUPTED:
            return  # after Ctrl-C the last line of the run says from where it goes on
        self._error_line(text)
        self._show()

    def _error(self, record: Any) -> None:
        text = record.getMessage()
        kind = getattr(record, "exception", "")
        if kind == "RuleException" and "CalledProcessError" in text:
            self._causes.append(text)  # the job's own message is next
        elif _JOB_FAILED in text:
            self._say_last_words()
        elif not (self._interrupted and kind == "KeyboardInterrupt"):
            self._error_line(text)

    def _say_last_words(self) -> None:
        self._screen.status("")
        if self._interrupted:
            return
        if self._since_error > FAR_BACK:
            for text in self._errors.values():
                self._error_line(text)
        log = f" The log of the run: {self._run_log}" if self._run_log else ""
        self._screen.line(
            f"{_count(len(self._errors), 'job')} failed, {self._done} done in"
            f" {duration(time.monotonic() - self._began)}. When it is mended, the same command goes on from here.{log}"
        )

    def _command(self, record: Any) -> None:
        command = getattr(record, "shellcmd", None) or getattr(record, "cmd", None)
        if self.common_settings.printshellcmds and command:
            self._screen.line(str(command), DIM)

    def _message(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if hasattr(record, "qatflow"):
            self._screen.status("")
            if not self._quiet:
                took = duration(time.monotonic() - self._began)
                self._screen.line(f"{_count(self._done, 'job')} done in {took}")
        elif text.startswith(_INTERRUPT):
            self._interrupted = True
            self._screen.status("stopping: trainings save their state …")
        elif text.startswith(_LOG_OF_RUN):
            self._run_log = text.removeprefix(_LOG_OF_RUN)
        elif found := _RETRY.match(text):
            self._screen.line(f"trying again: {self._waiting.get(int(found[1]), text)}")
        elif found := _SUBMITTED.match(text):
            name = f"Slurm's job {found['its']}" if found["its"] else f"job {found['name']}"
            self._submit(int(found["slurm"] or found["other"]), name)
        elif _CHATTER.match(text):
            return
        elif record.levelno >= logging.ERROR:
            self._error_line(text)
        else:
            self._screen.line(text)

    def _submit(self, number: int, name: str) -> None:
        """Note what a cluster calls a job, which waits there."""
        job = self._jobs.get(number)
        if job is not None:
            job.queue = name
            if self._says_jobs and not self._quiet and not self._screen.live:
                self._screen.line(f"{self._place(self._done + 1)} {job.label}: submitted as {name}")
        self._show()

    # What is written

    def _from_library(self, record: logging.LogRecord) -> bool:
        """Take what the library has attached to a record; return whether it had lines to write."""
        said: dict[str, Any] = getattr(record, "qatflow", {})
        self._left = said.get("left", self._left)
        self._run_log = said.get("log") or self._run_log
        lines = said.get("lines") or []
        if lines and (not self._quiet or self.common_settings.dryrun):
            self._screen.line(lines[0], BOLD)
            if lines[1:]:
                self._screen.line("\n".join(lines[1:]))
        return bool(lines)

    def _error_line(self, text: str) -> None:
        self._screen.line(text, RED)
        self._since_error = 0

    def _place(self, number: int) -> str:
        total = "" if self._left is None else str(self._done + self._left)
        return f"[{number:>{len(total)}}/{total}]" if total else f"[{number}]"

    def _show(self) -> None:
        """Write the status: the job that says how far it is, or the longest-running one, and how many others."""
        if self._quiet or self._interrupted:
            return
        jobs = sorted(self._jobs.values(), key=lambda job: (not job.said, job.started))
        others = f" · and {_count(len(jobs) - 1, 'other')}" if len(jobs) > 1 else ""
        place = self._place(self._done + 1)
        room = self._screen.columns - len(place) - len(others) - 1
        self._screen.status(f"{place} {jobs[0].status(room)}{others}" if jobs else "")

    def _tick(self) -> None:
        """Look at the logs of the running jobs from now on."""
        if self._clock is None and not self._quiet:
            self._clock = threading.Thread(target=self._look, daemon=True)
            self._clock.start()

    def _look(self) -> None:
        every = 1 if self._screen.live else self.settings.every
        while not self._ended.wait(every):
            self.acquire()
            try:
                for job in list(self._jobs.values()):
                    job.look()
                if self._screen.live:
                    self._show()
                else:
                    self._write_progress()
            finally:
                self.release()

    def _write_progress(self) -> None:
        for job in self._jobs.values():
            if time.monotonic() - job.shown >= self.settings.every:
                job.shown = time.monotonic()
                self._screen.line(f"{self._place(self._done + 1)} {job.status()}")
                self._since_error += 1


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _snakemakes_own(settings: Any, stream: Any) -> logging.Handler:
    from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

    shown = DefaultFilter(
        settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
    )
    text = DefaultFormatter(settings.quiet, settings.show_failed_logs)
    handler: logging.Handler = ColorizingTextHandler(settings.nocolor, stream, text, shown)
    return handler


_TAKERS: dict[LogEvent | None, Callable[[LogHandler, Any], None]] = {
    None: LogHandler._message,
    LogEvent.WORKFLOW_STARTED: LogHandler._start,
    LogEvent.RUN_INFO: LogHandler._plan,
    LogEvent.JOB_INFO: LogHandler._job,
    LogEvent.JOB_FINISHED: LogHandler._finish,
    LogEvent.JOB_ERROR: LogHandler._job_error,
    LogEvent.GROUP_ERROR: LogHandler._group_error,
    LogEvent.ERROR: LogHandler._error,
    LogEvent.SHELLCMD: LogHandler._command,
}
