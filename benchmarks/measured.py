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
        largest: peak memory in bytes of all its processes together; shared memory is counted once.
        parent: the first process's part of it.
    """

    seconds: float
    processor: float
    largest: int = 0
    parent: int = 0


def run_measured(program: Path, arguments: Sequence[str]) -> Measured:
    """Run a Python program, and sample its memory; raises RuntimeError where it fails."""
    start, before = time.monotonic(), processor_time()
    process = subprocess.Popen([sys.executable, program, *arguments], stdout=subprocess.DEVNULL)
    largest = parent = 0
    while process.poll() is None:
        sizes = [_bytes(member) for member in _family(process.pid)]
        if sum(sizes) > largest:
            largest, parent = sum(sizes), sizes[0]
        time.sleep(EVERY)
    if process.returncode:
        raise RuntimeError(f"{program} ended with status {process.returncode}")
    return Measured(time.monotonic() - start, processor_time() - before, largest, parent)


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


def _bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
