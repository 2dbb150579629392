"""A job that runs, and what its log says of it: how far it is, what it came to, why it failed."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TAIL = 8192
"""Bytes at the end of a log that are looked at."""
_PROGRESS = re.compile(r"^(?:epoch \d+[ ,]|\d+ of \d+ |\[ *\d+ ?%\])")
"""How the lines begin that say how far a program is."""
_EPOCH = re.compile(
    r"^epoch \d+ \(\w+\): .*; validation loss [\d.]+, (top-1|agreement with float) ([\d.]+)", re.MULTILINE
)
_STATUS = re.compile(r"exit status (\d+)|<Signals\.(\w+)")
INTERRUPTED = ("130", "SIGINT")
_MEANING = {
    "137": "killed, often for lack of memory",
    "SIGKILL": "killed, often for lack of memory",
    "143": "terminated, as by a cluster at the end of the time",
    "SIGTERM": "terminated, as by a cluster at the end of the time",
    "139": "crashed",
    "SIGSEGV": "crashed",
}
CLOCKS_DIFFER = 5.0
"""Seconds by which a node's clock may be behind."""
LAST_LINES = 15
"""Of a log without a message of ours."""


def duration(seconds: float) -> str:
    """Return a time in words, as `3 min 20 s`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def label(rule: str, wildcards: Mapping[str, object]) -> str:
    """Return what a job is called: its rule, and what its wildcards are."""
    values = [str(value) for value in wildcards.values() if value != ""]
    return f"{rule} ({', '.join(values)})" if values else rule


@dataclass
class Job:
    """A job that has started.

    Attributes:
        label: what it is called.
        logs: its log files.
        started: when, on the monotonic clock.
        said: the last line of its log that says how far it is.
        shown: when a line of it was last written.
        queue: what a cluster calls it, until it begins there; empty on this machine.
    """

    label: str
    logs: list[str]
    started: float = field(default_factory=time.monotonic)
    said: str = ""
    shown: float = field(default_factory=time.monotonic)
    queue: str = ""
    _submitted: float = field(default_factory=time.time)
    _seen: tuple[int, int] = (0, 0)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    def look(self) -> None:
        """Read the end of the log, if that has changed: one `stat` if it has not, also on a shared file system."""
        if not self.logs:
            return
        try:
            now = Path(self.logs[0]).stat()
        except OSError:  # not there yet, or on a disk of the node alone
            return
        if (seen := (now.st_size, now.st_mtime_ns)) == self._seen:
            return
        if self.queue:
            if now.st_mtime < self._submitted - CLOCKS_DIFFER:
                return  # of an earlier run
            self.queue, self.started = "", time.monotonic()
        self._seen = seen
        lines = [line for line in re.split(r"[\r\n]", tail(self.logs[0])) if _PROGRESS.match(line)]
        self.said = lines[-1].rstrip() if lines else self.said

    def status(self, width: int | None = None) -> str:
        """Return how far it is, in one line; without the wildcards if it would be longer than `width`."""
        said = self.said or (f"{self.queue} waits, {duration(self.seconds)}" if self.queue else duration(self.seconds))
        whole = f"{self.label}: {said}"
        return whole if width is None or len(whole) <= width else f"{self.label.partition(' (')[0]}: {said}"

    def result(self) -> str:
        """Return what a finished job came to: how long it took and, of a training, the last validation."""
        figures = _EPOCH.findall(tail(self.logs[0])) if self.logs else []
        name, value = figures[-1] if figures else ("", "0")
        validation = f", validation {name} {100 * float(value):.2f} %" if figures else ""
        return f"{self.label}: {duration(self.seconds)}{validation}"


def tail(path: str, size: int = TAIL) -> str:
    """Return the end of a text file; nothing where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, Path(path).stat().st_size - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def exit_status(cause: str) -> str:
    """Return the exit status or signal that Snakemake's message about a failed command names; else nothing."""
    found = _STATUS.search(cause)
    return (found[1] or found[2]) if found else ""


def message(logs: Iterable[str]) -> str:
    """Return the message with which a program ended, `error: …`, from its logs; nothing where it wrote none."""
    for log in logs:
        text = tail(log, 16 * TAIL)
        at = [found.start() for found in re.finditer(r"^error: ", text, re.MULTILINE)]
        if at:
            return text[at[-1] :].rstrip()
    return ""


def failure(job: Job, logs: Iterable[str], cause: str) -> str:
    """Return what to say of a failed job: its own message alone, or the end of its log; then where the log is.

    Args:
        job: that failed.
        logs: its log files, a cluster's among them.
        cause: what Snakemake says, with the exit status.
    """
    files = [log for log in logs if Path(log).is_file()]
    where = f"{job.label}, after {duration(job.seconds)}; the whole log: {', '.join(files) or 'none was written'}"
    if said := message(files):
        return f"{said}\n  in {where}"
    status = exit_status(cause)
    why = f" ({_MEANING[status]})" if status in _MEANING else ""
    ended = f"ended with {status if status.startswith('SIG') else f'exit status {status}'}{why}" if status else "failed"
    lines = [line for log in files for line in tail(log).splitlines()][-LAST_LINES:]
    shown = "".join(f"\n  | {line}" for line in lines)
    return f"error: {job.label} {ended}{shown}\n  in {where}"
