"""What a program takes: time, processor time, and the peak memory of all its processes together."""

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

EVERY = 0.2  # seconds between memory samples


@dataclass(frozen=True)
class Measured:
    """The cost of a job.

    Attributes:
        seconds: from start to end.
        processor: seconds of processor time of all its processes, which other load on the machine hardly changes.
        largest: peak memory in bytes of all its processes together; memory that they share is counted once.
        parent: the first process's part of it.
        unhindered: seconds without those in which a process was ready and another program had the processor: what the
            first process ran, and the life of the process that lived longest of the others, less its waiting.
    """

    seconds: float
    processor: float
    largest: int = 0
    parent: int = 0
    unhindered: float = 0.0


def run_measured(program: Path, arguments: Sequence[str]) -> Measured:
    """Run a Python program, and sample its memory; raises RuntimeError where it fails."""
    start, before = time.monotonic(), processor_time()
    process = subprocess.Popen([sys.executable, program, *arguments], stdout=subprocess.DEVNULL)
    largest = parent = 0
    lives: dict[int, _Life | None] = {}
    while process.poll() is None:
        family = _family(process.pid)
        sizes = [_bytes(member) for member in family]
        together = max(sum(pss for pss, _ in sizes), *(rss for _, rss in sizes), 0)
        if together > largest:
            largest, parent = together, sizes[0][0]
        for member in family:
            lives[member.pid] = _life(member, lives.get(member.pid))
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"{program} ended with status {process.returncode}")
    first = lives.pop(process.pid, None)
    others = max((life.unhindered for life in lives.values() if life), default=0.0)
    unhindered = others + (first.ran if first else 0.0)
    return Measured(time.monotonic() - start, processor_time() - before, largest, parent, unhindered)


@dataclass(frozen=True)
class _Life:
    """Of a process, in seconds: when it was first and last seen, and what it ran on a processor and waited for one."""

    first: float
    last: float
    ran: float
    waited: float

    @property
    def unhindered(self) -> float:
        return self.last - self.first - self.waited


def _life(process: psutil.Process, before: _Life | None) -> _Life | None:
    """Return the life of a process up to now (`schedstat` of its threads); if it has ended, what was last known."""
    now = time.monotonic()
    try:
        stats = [path.read_text().split() for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat")]
    except OSError:
        return before
    ran, waited = (sum(int(stat[column]) for stat in stats) / 1e9 for column in (0, 1))
    return _Life(before.first if before else now, now, ran, waited) if stats else before


def processor_time() -> float:
    """Return the processor time in seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(process: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(process)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _bytes(process: psutil.Process) -> tuple[int, int]:
    """Return PSS and RSS; the first leaves out what other programs share, such as TensorFlow's code."""
    try:
        memory = process.memory_full_info()
        return int(memory.pss), int(memory.rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0, 0
