"""A mend of Snakemake's planning: a job behind an `ancient` input runs where it has a reason of its own.

`DAG.update_needrun` (Snakemake 9.20 to 9.27) does not look for the reasons of what depends on a job that will run,
since that job is reason enough. Behind an input that is `ancient` it is none, and then the job is left out of the run,
whatever has changed: a device kept the figures of another model.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import wraps
from typing import Any

from snakemake.dag import DAG


def plan_behind_ancient_inputs() -> None:
    """Have Snakemake look for the reasons of a job where only `ancient` inputs lead to it from one that will run."""
    planned = DAG.update_needrun
    if hasattr(planned, "__wrapped__"):  # a workflow with several modules: once is enough
        return

    @wraps(planned)
    async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
        dag.bfs = _without_ancient  # hides the method: in here only what follows from a job is asked for
        try:
            await planned(dag, *arguments, **options)
        finally:
            del dag.bfs

    DAG.update_needrun = update_needrun


def _without_ancient(depending: Mapping[Any, Mapping[Any, Any]], job: Any) -> Iterator[Any]:
    """Return a job and all that follow from it.

    Args:
        depending: by job, those that depend on it, each with the files.
        job: to begin with.
    """
    queue, seen = deque([job]), {job}
    while queue:
        current = queue.popleft()
        yield current
        for other, files in depending[current].items():
            if other not in seen and not all(file.is_ancient for file in files):
                queue.append(other)
                seen.add(other)
