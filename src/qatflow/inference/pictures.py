"""Looks at prepared pictures one batch after another, in one process per core, with the results in their order."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from qatflow.base.processes import in_order
from qatflow.data.manifest import Manifest
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import Place, batches, calibration_places, inputs, places

ResultT = TypeVar("ResultT")
OfBatch = Callable[[np.ndarray, np.ndarray], ResultT]
"""Takes the inputs of a batch, float32 [n, height, width, channels], and its labels, int64 [n]."""

MOST = 64
BATCH_BYTES = 2**23
"""Of a batch's inputs. A larger batch takes more memory, and a smaller one makes models change places more often."""
KILLED = (
    "a process that ran pictures was killed, most likely because memory ran out: give the job fewer cores or more "
    "memory"
)


@dataclass(frozen=True)
class PreparedPictures:
    """Pictures of prepared data, for programs without TensorFlow (its threads do not survive a fork).

    Attributes:
        manifest: the data set.
        count: number of the pictures.
        processes: that look at them.
        places: returns where they are, in their order.
    """

    manifest: Manifest
    count: int
    processes: int
    places: Callable[[], Iterable[Place]]

    @staticmethod
    def of(manifest: Manifest, split: str, limit: int | None = None, *, processes: int = 1) -> "PreparedPictures":
        """Return the pictures of a split in shard order; at most `limit` of them, from the start."""
        count = manifest.splits[split].count
        count = count if limit is None else min(count, limit)
        return PreparedPictures(manifest, count, processes, partial(places, manifest, split, count))

    @staticmethod
    def calibration(manifest: Manifest, *, processes: int = 1) -> "PreparedPictures":
        """Return the frozen calibration pictures, in the order of their list; raises UserError as their reader does."""
        listed = calibration_places(manifest)
        return PreparedPictures(manifest, len(listed), processes, lambda: listed)

    def each(self, begin: Callable[[], OfBatch[ResultT]]) -> Iterator[ResultT]:
        """Yield the result of each batch, in the order of the pictures, whatever the number of processes.

        Args:
            begin: called once in each process, and returns the function that is called there with each batch.

        Raises:
            UserError: a shard has changed, or a process was killed; an error of the function is raised here.
        """
        spec = self.manifest.preprocessing
        size = batch_size(spec)

        def begin_reading() -> Callable[[tuple[Place, ...]], ResultT]:
            of_batch = begin()
            return lambda batch: of_batch(*inputs(batch, spec))

        processes = min(self.processes, -(-self.count // size))
        yield from in_order(batches(self.places(), size), begin_reading, processes, KILLED)


def batch_size(spec: Preprocessing) -> int:
    """Return the number of pictures in a batch."""
    return max(1, min(MOST, BATCH_BYTES // (4 * math.prod(spec.shape))))
