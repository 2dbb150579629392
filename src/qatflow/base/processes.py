"""Several processes for one job: forked, so that they share this process's memory, and ended with it."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from qatflow.base.errors import UserError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")

PR_SET_PDEATHSIG = 1  # linux/prctl.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES = 2**25  # the most that glibc accepts for the second
AHEAD = 4
"""Tasks a process that are given out before the first result is taken: results that wait take memory."""

_begin_job: Callable[[], Callable[[Any], Any]] | None = None
_job: Callable[[Any], Any] | None = None


@contextlib.contextmanager
def forked(
    processes: int, initialise: Callable[..., None], arguments: tuple[Any, ...], killed: str
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of forked processes; after an error, and at the end, none is left.

    Args:
        processes: their number.
        initialise: called first in each with `arguments`, which are inherited and not copied.
        arguments: of `initialise`.
        killed: the message where a process was killed.

    Raises:
        UserError: a process was killed.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (os.getpid(), initialise, arguments))
    try:
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        if isinstance(error, BrokenProcessPool):
            raise UserError(killed) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    tasks: Iterable[TaskT], begin: Callable[[], Callable[[TaskT], ResultT]], processes: int, killed: str
) -> Iterator[ResultT]:
    """Yield the result of each task, in the order of the tasks, whatever the number of processes.

    A few tasks for each process are taken from `tasks` ahead of the results, so that memory does not grow with their
    number.

    Args:
        tasks: small values; each is sent to a process.
        begin: called once in each process, and returns the function that is called there with a task. Its result is
            sent back.
        processes: their number; with 1 everything runs in this one.
        killed: the message where a process was killed.

    Raises:
        UserError: a process was killed. An error of the job is raised here, and the other tasks are cancelled.
    """
    if processes <= 1:
        keep_freed_memory()
        yield from map(begin(), tasks)
        return
    with forked(processes, _keep, (begin,), killed) as pool:
        waiting: deque[Future[ResultT]] = deque()
        for task in tasks:
            waiting.append(pool.submit(_do, task))
            if len(waiting) >= AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def keep_freed_memory() -> None:
    """Let this process keep freed memory for the next array, where the C library can.

    By default glibc gives arrays of a picture back to the kernel and gets them again, cleared, for the next picture:
    resizing one at 224 takes 1.2 ms in place of 0.4.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _begin(parent: int, initialise: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # otherwise a killed run would leave processes behind
    if os.getppid() != parent:
        os._exit(1)
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    initialise(*arguments)


def _keep(begin: Callable[[], Callable[[Any], Any]]) -> None:
    global _begin_job
    _begin_job = begin


def _do(task: Any) -> Any:
    global _job
    if _job is None:  # not at the start of the process, where an error would only break the pool
        assert _begin_job is not None
        _job = _begin_job()
    return _job(task)
