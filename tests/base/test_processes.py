"""Tasks in several processes: the order of the results, how many are given out ahead, and what errors leave behind."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from qatflow.base.errors import UserError
from qatflow.base.processes import AHEAD, in_order


def squares() -> Callable[[int], tuple[int, int]]:
    """The beginning of each process: its number of tasks so far shows that it begins once."""
    return lambda task: (task**2, os.getpid())


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks_from_that_many_processes(processes: int):
    found = list(in_order(range(200), squares, processes, "killed"))
    assert [square for square, _ in found] == [n**2 for n in range(200)]
    workers = {worker for _, worker in found}
    assert len(workers) <= processes and (os.getpid() in workers) == (processes == 1)
    assert not multiprocessing.active_children()


def test_a_process_begins_once():
    def begin() -> Callable[[int], int]:
        begun.append(os.getpid())
        return lambda task: len(begun)

    begun: list[int] = []
    assert set(in_order(range(50), begin, 2, "killed")) == {1}


def test_few_tasks_are_taken_ahead_of_the_results():
    taken = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = in_order(tasks(), squares, 2, "killed")
    for done in range(1, 50):
        next(results)
        assert len(taken) <= done + 2 * AHEAD
    results.close()
    assert not multiprocessing.active_children()


def test_an_error_of_a_task_or_of_the_beginning_is_raised_and_no_process_stays():
    def refusing() -> Callable[[int], int]:
        raise UserError("the model cannot be loaded")

    def failing() -> Callable[[int], int]:
        def job(task: int) -> int:
            if task == 7:
                raise UserError("picture 7 is damaged")
            return task

        return job

    for begin, said in ((refusing, "the model cannot be loaded"), (failing, "picture 7 is damaged")):
        with pytest.raises(UserError, match=said):
            list(in_order(range(100), begin, 2, "killed"))
        assert not multiprocessing.active_children()


def test_a_killed_process_is_told_in_the_words_of_the_job():
    def dying() -> Callable[[int], None]:
        return lambda task: os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match="pictures ran out of memory"):
        list(in_order(range(10), dying, 2, "pictures ran out of memory"))
    assert not multiprocessing.active_children()
