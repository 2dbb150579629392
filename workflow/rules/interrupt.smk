"""Ctrl-C ends a run as Snakemake would, and the last line says that the same command goes on, and from where."""

import atexit
import signal

from qatflow.workflow.interrupted import goes_on


def prepare_for_interrupt():
    """Note at the first Ctrl-C what runs; the line is printed at exit, when the trainings have saved their states."""
    before = signal.getsignal(signal.SIGINT)

    def interrupted(number, frame):
        signal.signal(signal.SIGINT, before)
        atexit.register(say_that_it_goes_on, running_jobs())
        before(number, frame)

    if callable(
        before
    ):  # it is ignored where a shell started the run in the background
        signal.signal(signal.SIGINT, interrupted)


def running_jobs():
    """Return the log of each running job, by its rule and wildcards; None where it has none."""
    jobs = [
        job
        for one in workflow.scheduler.running
        for job in (one.jobs if one.is_group() else [one])
    ]
    return {
        f"{job.rule.name} ({', '.join(job.wildcards)})": (
            Path(job.log[0]) if job.log else None
        )
        for job in jobs
    }


def say_that_it_goes_on(stopped):
    print(goes_on(stopped), file=sys.stderr, flush=True)
