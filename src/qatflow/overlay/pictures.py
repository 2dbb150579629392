"""Looks at a folder of pictures: classes, splits, sizes, grey or colour. Opens the headers of some."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from PIL import Image

from qatflow.base.errors import UserError
from qatflow.data.sources.class_folders import doubts, files, folders, has_splits, problem

LOOKED_AT = 200
"""Pictures whose headers are read, spread over the classes."""
GREY = ("1", "L", "I", "I;16", "F")


@dataclass(frozen=True)
class Pictures:
    """What is seen of a folder.

    Attributes:
        path: the folder, as the user gave it.
        classes: their names, in order.
        counts: pictures of each split that has a folder; all of them as `train` where there are no splits.
        sides: of the pictures that were opened, height and width in pixels.
        grey: whether all of these are grey.
        unreadable: those that are no pictures.
        doubts: sentences about what may have been mistaken for a class.
    """

    path: Path
    classes: Sequence[str]
    counts: dict[str, int]
    sides: Sequence[tuple[int, int]]
    grey: bool
    unreadable: Sequence[Path]
    doubts: Sequence[str]

    @property
    def short_side(self) -> int:
        """The median of the shorter sides, in pixels."""
        return round(statistics.median(min(side) for side in self.sides))

    @property
    def counted(self) -> str:
        """How many pictures there are, by split where there are folders for them."""
        if len(self.counts) == 1:
            return f"{self.counts['train']:,}"
        return ", ".join(f"{count:,} in {split}" for split, count in self.counts.items())

    @property
    def stretched(self) -> float:
        """The median of the longer side over the shorter one."""
        return statistics.median(max(side) / min(side) for side in self.sides)


def look_at(path: Path) -> Pictures:
    """Return what is seen of a folder with one folder per class, with or without train/, val/ and test/.

    Raises:
        UserError: it is no such folder, or none of the pictures that were tried can be opened.
    """
    if not path.is_dir():
        raise UserError(f"--pictures: {path} is not a folder: give the folder that holds one folder per class")
    try:
        if reason := problem(path):
            raise UserError(f"--pictures: {reason.replace('data.path:', '--pictures')}")
        split = has_splits(path)
        training = [folder for folder in folders(path / "train" if split else path) if any(files(folder))]
        counts = {"train": sum(_count(folder) for folder in training)}
        for name in ("val", "validation", "test"):
            if split and (path / name).is_dir():
                counts["test" if name == "test" else "validation"] = _count(path / name)
        return _opened(path, training, counts)
    except OSError as error:
        raise UserError(f"--pictures: {error.filename} cannot be listed: {error.strerror}") from error


def _count(folder: Path) -> int:
    return sum(1 for _ in files(folder))


def _opened(path: Path, training: Sequence[Path], counts: dict[str, int]) -> Pictures:
    each = max(1, LOOKED_AT // len(training))
    some = islice(chain.from_iterable(islice(files(folder), each) for folder in training), LOOKED_AT)
    sides, unreadable, grey = [], [], True
    for file in some:
        try:
            with Image.open(file) as picture:
                sides.append((picture.height, picture.width))
                grey = grey and picture.mode in GREY
        except (OSError, ValueError, Image.DecompressionBombError):
            unreadable.append(file)
    if not sides:
        raise UserError(f"--pictures: no file of {path} that was tried is a picture: {unreadable[0]}, for example")
    names = [folder.name for folder in training]
    return Pictures(path, names, counts, sides, grey, unreadable, list(doubts(path)))
