"""Runs something on each picture of a split, a few at a time by all cores, and keeps what is done."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base.files import read_json, write_json
from qatflow.base.processes import in_order
from qatflow.data.reader import Place, batches, inputs
from qatflow.inference.pictures import KILLED, PreparedPictures

AT_ONCE = 4
"""Pictures of a row: what a killed job does again at most, for each process."""
OfPicture = Callable[[np.ndarray, int], Any]
"""Takes a picture, float32 without the batch, and its label; returns plain JSON values."""


def rows(pictures: PreparedPictures, begin: Callable[[], OfPicture], folder: Path) -> Iterator[Any]:
    """Yield what each picture gives, in their order, whatever the number of processes.

    A file is written for each few pictures, and not computed again where it is there.

    Args:
        pictures: the pictures, and the processes.
        begin: called once in each process.
        folder: of the files; it must be of these pictures and this function.

    Raises:
        UserError: a shard has changed, or a process was killed.
    """
    spec = pictures.manifest.preprocessing
    listed = list(batches(pictures.places(), AT_ONCE))
    files = [folder / f"row_{number}.json" for number in range(len(listed))]
    left = [number for number, file in enumerate(files) if not file.exists()]
    if len(left) < len(listed):
        print(f"{folder}: going on; {len(listed) - len(left)} of {len(listed)} parts are there", flush=True)

    def begin_row() -> Callable[[tuple[int, tuple[Place, ...]]], None]:
        of_picture = begin()

        def row(task: tuple[int, tuple[Place, ...]]) -> None:
            number, places = task
            content, labels = inputs(places, spec)
            values = [of_picture(picture, int(label)) for picture, label in zip(content, labels, strict=True)]
            write_json(files[number], values)

        return row

    tasks = ((number, listed[number]) for number in left)
    for _ in in_order(tasks, begin_row, min(pictures.processes, max(len(left), 1)), KILLED):
        pass
    for file in files:
        yield from read_json(file)
