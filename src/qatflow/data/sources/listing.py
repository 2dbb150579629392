"""The pictures of a source, listed but not read: kept as columns, so that a million take some tens of megabytes."""

import hashlib
import os
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from qatflow.data.sources.source_files import SPLITS, UNLABELED, Split


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a source, not read yet.

    Attributes:
        key: names it within the source; stable from run to run and from machine to machine.
        label: index into the source's labels.
        split: the source's own split; `train` where the source has none.
    """

    key: str
    label: int
    split: Split


@dataclass(frozen=True, slots=True)
class Rejected:
    """A picture that is left out, and why; a line of rejected.csv."""

    key: str
    reason: str


class Listing(Sequence[Picture]):
    """Pictures, each made on access; names, labels and splits are kept as bytes and numbers.

    A picture takes the bytes of its name and 13 more.
    """

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("Q", [0])
        self._labels = array("i")
        self._splits = array("b")

    def add(self, name: bytes, label: int, split: Split) -> None:
        """Add a picture by its name within the source, by which the source can find it; its key is `key_of(name)`."""
        self._names += name
        self._ends.append(len(self._names))
        self._labels.append(label)
        self._splits.append(SPLITS.index(split))

    def __len__(self) -> int:
        return len(self._labels)

    @overload
    def __getitem__(self, place: int) -> Picture: ...
    @overload
    def __getitem__(self, place: slice) -> list[Picture]: ...
    def __getitem__(self, place: int | slice) -> Picture | list[Picture]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return Picture(key_of(self.name(place)), self._labels[place], SPLITS[self._splits[place]])

    def name(self, place: int) -> bytes:
        """Return the name with which a picture was added."""
        place = range(len(self))[place]
        return bytes(self._names[self._ends[place] : self._ends[place + 1]])

    @property
    def labels(self) -> np.ndarray:
        """Label of each picture, int32 [n]."""
        return np.array(self._labels, np.int32)

    @property
    def unlabeled(self) -> bool:
        """Whether no picture has a label."""
        return len(self) > 0 and int(self.labels.max()) == UNLABELED

    @property
    def splits(self) -> np.ndarray:
        """Split of each picture, int8 [n], as positions in `SPLITS`."""
        return np.array(self._splits, np.int8)

    def digest(self) -> str:
        """Return the SHA-256 over all names, labels and splits, in order."""
        total = hashlib.sha256(self._names)
        for column in (self._ends, self._labels, self._splits):
            total.update(column)
        return total.hexdigest()


def key_of(name: bytes) -> str:
    """Return a file name as one line of valid UTF-8 text, whatever bytes it consists of."""
    text = name.decode("utf-8", "backslashreplace")
    if text.isascii() and text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)


def text_of(name: str) -> str:
    """Return `key_of` for a file name as Python represents it."""
    return key_of(os.fsencode(name))
