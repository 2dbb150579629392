"""What quantisation of a graph needs of the calibration pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

ResultT = TypeVar("ResultT")


class Pictures(Protocol):
    """Pictures that can be looked at again and again; `PreparedPictures` are."""

    @property
    def count(self) -> int:
        """Number of the pictures."""

    @property
    def processes(self) -> int:
        """Number of processes that look at them."""

    def each(self, begin: Callable[[], Callable[[np.ndarray, np.ndarray], ResultT]]) -> Iterator[ResultT]:
        """Yield the result of each batch in order, as `PreparedPictures.each`."""


@dataclass(frozen=True)
class PicturesInMemory:
    """Pictures in an array, looked at by this process.

    Attributes:
        values: float32 [n, height, width, channels].
        processes: that train the rounding.
    """

    values: np.ndarray
    processes: int = 1

    @property
    def count(self) -> int:
        """Number of the pictures."""
        return len(self.values)

    def each(self, begin: Callable[[], Callable[[np.ndarray, np.ndarray], ResultT]]) -> Iterator[ResultT]:
        """Yield the result of each batch of a picture; the labels are empty."""
        of_batch = begin()
        for picture in self.values:
            yield of_batch(picture[None], np.empty(0, np.int64))
