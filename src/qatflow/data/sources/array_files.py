"""The files of the source `arrays`: which arrays there are and what they can be, by their headers alone.

A .npz file counts as a folder of its .npy files. The format is numpy.lib.format's; nothing in it is ever unpickled.
"""

import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize
from qatflow.data.sources.source_files import ARRAYS, UNLABELED_ARRAY, Split

ENDING = ".npy"
READ = {name for _, *names in ARRAYS for name in names}
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class Header:
    """Shape and type of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class Part:
    """The arrays of one split.

    Attributes:
        split: that they belong to; `train` where the source has no splits.
        inputs: name of the array of inputs, [n, …].
        labels: name of the array of labels, [n]; None: they have none.
        shape: of one input.
        count: number of inputs.
    """

    split: Split
    inputs: str
    labels: str | None
    shape: tuple[int, ...]
    count: int


def headers(path: Path) -> dict[str, Header]:
    """Return the header of each .npy file of a name in `ARRAYS`, in a folder or a .npz file, by that name.

    Raises:
        UserError: the folder or a file cannot be read, is cut off, or holds Python objects.
    """
    try:
        known = [name for name in _names(path) if name in READ]
        if path.is_dir():
            return {name: _header_of(path / f"{name}{ENDING}") for name in known}
        found = {}
        with zipfile.ZipFile(path) as archive:
            for name in known:
                with archive.open(f"{name}{ENDING}") as file:
                    size = archive.getinfo(f"{name}{ENDING}").file_size
                    found[name] = _header(file, f"{path}: {name}{ENDING}", size)
        return found
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        raise UserError(f"{path} cannot be read as a folder of .npy files or as a .npz file: {error}") from error


def parts(known: Mapping[str, Header], where: Path) -> tuple[Part, ...]:
    """Return the labelled arrays of each split, training first.

    Args:
        known: headers by name.
        where: folder or file, for messages.

    Raises:
        UserError: the training arrays are missing, or arrays do not fit together; all problems are listed.
    """
    chosen: list[tuple[Split, str, str]] = []
    problems: list[str] = []
    for split, inputs, labels in ARRAYS:
        there = [name for name in (inputs, labels) if name in known]
        if len(there) == 1:
            missing = labels if there == [inputs] else inputs
            problems.append(f"{there[0]}{ENDING} is there and {missing}{ENDING} is missing")
        elif there:
            chosen.append((split, inputs, labels))
    for split in dict.fromkeys(split for split, _, _ in chosen):
        names = [inputs for other, inputs, _ in chosen if other == split]
        if len(names) > 1:
            problems.append(f"{' and '.join(names)} are both for {split}: keep one of them")
    if not problems and not any(split == "train" for split, _, _ in chosen):
        pairs = ", or ".join(f"{inputs} and {labels}" for split, inputs, labels in ARRAYS if split == "train")
        problems.append(f"it holds no training arrays: they are called {pairs} (each with {ENDING})")
    for _, inputs, labels in chosen:
        problems += [*_input_problems(inputs, known[inputs]), *_label_problems(labels, known[labels], known[inputs])]
    shapes = {inputs: known[inputs].shape[1:] for _, inputs, _ in chosen}
    if not problems and len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        problems.append(f"the inputs have different shapes: {listed}")
    if problems:
        raise UserError(f"data.path: {where}: {'; '.join(problems)}")
    return tuple(
        Part(split, inputs, labels, shapes[inputs], known[inputs].shape[0]) for split, inputs, labels in chosen
    )


def unlabeled_part(known: Mapping[str, Header], where: Path) -> Part:
    """Return the array of inputs without labels.

    Raises:
        UserError: it is missing, or cannot be used.
    """
    header = known.get(UNLABELED_ARRAY)
    problems = (
        [f"it holds no {UNLABELED_ARRAY}{ENDING}"] if header is None else _input_problems(UNLABELED_ARRAY, header)
    )
    if header is None or problems:
        raise UserError(f"data.unlabeled.path: {where}: {'; '.join(problems)}")
    return Part("train", UNLABELED_ARRAY, None, header.shape[1:], header.shape[0])


def unread(path: Path) -> list[str]:
    """Return the names of arrays in a folder or a .npz file that play no part."""
    return [name for name in _names(path) if name not in READ]


def _names(path: Path) -> list[str]:
    """Return the names of the arrays in a folder or a .npz file, without the ending."""
    if path.is_dir():
        return sorted(file.stem for file in path.glob(f"[!.]*{ENDING}") if file.is_file())
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(ENDING) for name in archive.namelist() if name.endswith(ENDING)]


def shape_problem(shape: tuple[int, ...], size: PictureSize, channels: int) -> str:
    """Return why inputs of a shape are not of this height, width and channels, or an empty text.

    Axes of length 1 may be there or not: [49, 10] is 49×10 with 1 channel, [128, 3] may be 128×1 with 3 channels.
    """
    wanted = (size.height, size.width, channels)
    if _without_ones(shape) == _without_ones(wanted):
        return ""
    fitting = {
        1: "size [{0}, 1] and channels 1",
        2: "size [{0}, {1}] and channels 1, or size [{0}, 1] and channels {1}",
        3: "size [{0}, {1}] and channels {2}",
    }
    hint = fitting.get(len(shape))
    said = f"the inputs have the shape {list(shape)}, and size {size.to_json()} with channels {channels} does not fit"
    return f"{said}: set {hint.format(*shape)}" if hint else f"{said}: they have more than height, width and channels"


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def _input_problems(name: str, header: Header) -> Iterator[str] | list[str]:
    if len(header.shape) < 2 or 0 in header.shape:
        return [f"{name} has the shape {list(header.shape)}, and must be [inputs, …] with at least one input"]
    if not np.can_cast(header.dtype, np.float32, "safe"):
        return [
            f"{name} is {header.dtype}, and float32 cannot hold all its values exactly: save it as "
            "array.astype('float32')"
        ]
    return []


def _label_problems(name: str, header: Header, inputs: Header) -> list[str]:
    if header.dtype.kind not in "iubU":
        return [f"{name} is {header.dtype}, and must be whole numbers or texts"]
    if not inputs.shape:  # which is a problem already: there is no number of inputs
        return []
    count = inputs.shape[0]
    if header.shape not in ((count,), (count, 1)):
        return [f"{name} has the shape {list(header.shape)}, and must have one label for each of {count} inputs"]
    return []


def _header_of(path: Path) -> Header:
    with path.open("rb") as file:
        return _header(file, str(path), path.stat().st_size)


def _header(file: IO[bytes], where: str, size: int) -> Header:
    try:
        shape, _, dtype = READERS[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError, EOFError) as error:
        raise UserError(
            f"{where} is not a .npy file of plain numbers or texts ({error}): save it by numpy.save"
        ) from error
    if dtype.hasobject:
        raise UserError(f"{where} holds Python objects, which are never unpickled: save it as an array of one type")
    whole = file.tell() + math.prod(shape) * dtype.itemsize
    if size < whole:
        raise UserError(f"{where} is cut off: it has {size:,} of {whole:,} bytes; copy or save it again")
    return Header(shape, dtype)
