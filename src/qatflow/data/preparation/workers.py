"""Runs the same job on many tasks, in one process per core."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import Any, TypeVar

from qatflow.base.processes import forked, keep_freed_memory

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
# Takes a task, and a function to call with the number of things done each time some are.
Job = Callable[[TaskT, Callable[[int], None]], ResultT]

LOOK_EVERY = 0.5  # seconds
KILLED = (
    "a process that prepared pictures was killed, most likely because memory ran out: finished shards are kept; "
    "continue with fewer cores or more memory"
)

_in_worker: tuple[Job, Any] | None = None


def run_all(tasks: Sequence[TaskT], job: Job[TaskT, ResultT], cores: int, show: Callable[[int], None]) -> list[ResultT]:
    """Return the result of each task, in order; the processes share this process's memory and end with it.

    Args:
        tasks: small values; each is sent to a process.
        job: called there with a task and a function that counts the things done; its result is sent back.
        cores: largest number of processes; with 1 everything runs in this one.
        show: called from time to time with the number of things done so far.

    Raises:
        UserError: a process was killed. An error of the job is raised here, and the other tasks are cancelled.
    """
    if min(cores, len(tasks)) <= 1:
        keep_freed_memory()
        counted = _Count(show)
        return [job(task, counted.add) for task in tasks]
    done = multiprocessing.get_context("fork").Value("q", 0)
    with forked(min(cores, len(tasks)), _begin, (job, done), KILLED) as pool:
        futures = [pool.submit(_do, task) for task in tasks]
        waiting = set(futures)
        while waiting:
            finished, waiting = wait(waiting, LOOK_EVERY, FIRST_EXCEPTION)
            show(done.value)
            for future in finished:
                future.result()
        return [future.result() for future in futures]


class _Count:
    def __init__(self, show: Callable[[int], None]) -> None:
        self._done, self._show = 0, show

    def add(self, number: int) -> None:
        self._done += number
        self._show(self._done)


def _begin(job: Job, done: Any) -> None:
    global _in_worker
    _in_worker = job, done


def _do(task: Any) -> Any:
    assert _in_worker is not None
    job, done = _in_worker

    def add(number: int) -> None:
        with done.get_lock():
            done.value += number

    return job(task, add)
