"""A first look at a source, before all pictures are read: prints the classes, and stops early if reading must fail."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data.picture import RejectedError
from qatflow.data.preprocess import Preprocessing, misfit
from qatflow.data.sources.array_files import shape_problem
from qatflow.data.sources.source import PictureSource

LOOKED_AT = 32
"""Number of pictures that are opened, evenly spread over the list."""
NAMED = 10
"""Number of classes that a message names."""


class Limits(Protocol):
    """The limits for pictures, fields of `prepare.Settings`."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to each picture."""

    @property
    def max_rejected(self) -> float:
        """Share of rejected pictures above which preparation stops."""


def look(source: PictureSource, train: np.ndarray, limits: Limits) -> None:
    """Print the classes and what may be wrong with them; stop if reading all pictures could only fail.

    Args:
        source: of the pictures.
        train: positions of the training pictures.
        limits: for the pictures.

    Raises:
        UserError: most of the pictures looked at do not fit into the input; or arrays have another shape.
    """
    count = len(source.labels)
    names = ", ".join(source.labels[:NAMED]) + (", …" if count > NAMED else "")
    classes = f"{count} classes: {names}" if count else "classes as the float model has them"
    unlabeled = " without labels" if source.pictures.unlabeled else ""
    print(f"{classes}; {len(source.pictures)} pictures{unlabeled}", flush=True)
    for warning in [*source.warnings, *_alike(source.labels), *_without_pictures(source, train)]:
        print(f"warning: {warning}", flush=True)
    _check_kind(source, limits.preprocessing)
    _check_sizes(source, limits)


def look_at_unlabeled(source: PictureSource, limits: Limits) -> None:
    """Print how many pictures without labels there are; stop as `look` does.

    Raises:
        UserError: most of the pictures looked at do not fit into the input; or arrays have another shape.
    """
    print(f"{len(source.pictures)} pictures without labels", flush=True)
    _check_kind(source, limits.preprocessing)
    _check_sizes(source, limits)


def _check_kind(source: PictureSource, spec: Preprocessing) -> None:
    if source.array_shape is None and spec.resize == "none":
        raise UserError("data.preprocessing.resize `none` is for arrays: set it to `pad`, `stretch` or `crop`")
    if source.array_shape is None:
        return
    if spec.resize != "none":
        raise UserError(f"data.preprocessing.resize `{spec.resize}` is for pictures: set it to `none` for arrays")
    if problem := shape_problem(source.array_shape, spec.size, spec.channels):
        raise UserError(f"data.preprocessing: {problem}")


def _alike(labels: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each group of classes whose names differ in capitals and blanks alone."""
    groups: dict[str, dict[str, None]] = {}  # a list of names may give two classes the same one
    for label in labels:
        groups.setdefault("".join(unicodedata.normalize("NFC", label).casefold().split()), {})[label] = None
    for names in groups.values():
        if len(names) > 1:
            listed = ", ".join(map(repr, names))
            yield f"the classes {listed} differ in capitals and blanks alone: give them one name if they are one class"


def _without_pictures(source: PictureSource, train: np.ndarray) -> list[str]:
    if source.pictures.unlabeled:
        return []
    present = np.zeros(len(source.labels), bool)
    present[np.unique(source.pictures.labels[train])] = True
    missing = [name for name, there in zip(source.labels, present, strict=True) if not there]
    if not missing:
        return []
    names = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
    return [f"{len(missing)} of {len(source.labels)} classes have no training picture: {names}"]


def _check_sizes(source: PictureSource, limits: Limits) -> None:
    spec = limits.preprocessing
    if spec.resize != "pad":
        return
    seen, large = 0, []
    for place in np.unique(np.linspace(0, len(source.pictures) - 1, LOOKED_AT).astype(int)):
        try:
            picture = source.encoded(int(place))
        except RejectedError:
            continue  # reported with its reason when it is read
        seen += 1
        if misfit(spec, picture.height, picture.width) is not None:
            large.append(f"{source.pictures[int(place)].key} ({picture.width}×{picture.height})")
    if len(large) > seen * max(limits.max_rejected, 0.5):
        raise UserError(
            f"{len(large)} of the {seen} pictures looked at first do not fit the {spec.size.name}, such as "
            f"{large[0]}, and data.preprocessing.resize `pad` does not shrink them. Write `resize: crop` (the "
            "middle of the picture) or `resize: stretch` (the whole picture, distorted) under data.preprocessing, or a "
            "larger `size`"
        )
