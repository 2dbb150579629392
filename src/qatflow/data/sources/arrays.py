"""`arrays`: inputs that are not pictures, in .npy or .npz files, with one label each. Their values are kept exactly."""

import zipfile
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qatflow.base.archive import extract_once
from qatflow.base.errors import UserError
from qatflow.data.picture import Encoded, RejectedError
from qatflow.data.sources.array_files import ENDING, Part, headers, parts, unlabeled_part, unread
from qatflow.data.sources.listing import Listing, Rejected
from qatflow.data.sources.lists import class_names
from qatflow.data.sources.source_files import NAMES, UNLABELED
from qatflow.data.stored import VALUE


class ArraySource:
    """Arrays of inputs [n, …] with labels [n], which are whole numbers or texts.

    The files are mapped into memory, so that only the inputs in use are read. An input with a value that is not finite
    is rejected when it is read.

    Args:
        folder: of the .npy files.
        every: the arrays, all with inputs of the same shape.
        origin: where they come from, in words.
        inputs: the files, or the .npz file that they come from.

    Raises:
        UserError: a file is damaged, or the labels do not number the classes.
    """

    licence = "not stated"

    def __init__(self, folder: Path, every: Sequence[Part], origin: str, inputs: tuple[Path, ...]) -> None:
        self.origin, self.inputs = origin, inputs
        self.array_shape = every[0].shape
        self.pictures = Listing()
        self.rejected: list[Rejected] = []
        self.warnings: list[str] = []
        self.labels: tuple[str, ...] = ()
        self._arrays = [_mapped(folder / f"{part.inputs}{ENDING}") for part in every]
        self._starts: list[int] = []  # place of each array's first input in the listing
        self._rows: list[np.ndarray] = []
        if every[0].labels is None:
            self._add(every[0], np.full(every[0].count, UNLABELED))
        else:
            self._add_labelled(every, [_labels(folder, part) for part in every], folder / NAMES)

    def encoded(self, index: int) -> Encoded:
        """Return one input as float32 values, little-endian, in the order of its axes."""
        part = bisect_right(self._starts, index) - 1
        row = self._rows[part][index - self._starts[part]]
        values = np.ascontiguousarray(self._arrays[part][row], VALUE)
        if wrong := int((~np.isfinite(values)).sum()):
            raise RejectedError(f"{wrong} of its {values.size} values are NaN or infinite")
        content = values.tobytes()
        return Encoded(content, values.shape[0], values.shape[1] if values.ndim > 1 else 1, None)

    def version(self, index: int) -> tuple[int, ...]:
        """Return nothing: the arrays are in `inputs`."""
        return ()

    def _add_labelled(self, every: Sequence[Part], labels: Sequence[np.ndarray], names: Path) -> None:
        first: dict[str, str] = {}
        below: list[str] = []  # where labels below 0 are
        for part, values in zip(every, labels, strict=True):
            if part.split == "train":
                different, places = np.unique(values, return_index=True)
                for label, place in zip(different.tolist(), places.tolist(), strict=True):
                    if values.dtype.kind != "U" and label < 0:
                        below.append(f"{part.labels}[{place}] is {label}, and numbers of classes start at 0")
                    else:
                        first[str(label)] = f"{part.labels}[{place}]"
        numbered = all(label.isdecimal() for label in first)
        named = class_names(first, names, "the training inputs have", below)
        self.labels = named or tuple(sorted(first))
        why = f"{names.name} does not name it" if names.exists() else "no training input has it"
        for part, values in zip(every, labels, strict=True):
            different, places = np.unique(values, return_inverse=True)
            texts = [str(label) for label in different.tolist()]
            numbers = np.array([self._number(text, numbered) for text in texts])[places]
            for row in np.flatnonzero(numbers == UNLABELED).tolist():
                reason = f"its label {texts[places[row]]!r} is none of the classes: {why}"
                self.rejected.append(Rejected(f"{part.inputs}[{row}]", reason))
            self._add(part, numbers, numbers != UNLABELED)

    def _number(self, label: str, numbered: bool) -> int:
        """Return the number of a class, or `UNLABELED` if there is no such class."""
        if numbered and label.isdecimal():
            return int(label) if int(label) < len(self.labels) else UNLABELED
        twice = self.labels.count(label) > 1  # a name that two classes share finds neither
        return UNLABELED if twice or label not in self.labels else self.labels.index(label)

    def _add(self, part: Part, labels: np.ndarray, chosen: np.ndarray | None = None) -> None:
        """List the chosen inputs of an array, or all of them."""
        rows = np.arange(part.count) if chosen is None else np.flatnonzero(chosen)
        self._starts.append(len(self.pictures))
        self._rows.append(rows)
        for row, label in zip(rows.tolist(), labels[rows].tolist(), strict=True):
            self.pictures.add(f"{part.inputs}[{row}]".encode(), label, part.split)


def open_arrays(path: Path | None, downloads: Path) -> ArraySource:
    """Open a folder of .npy files, or a .npz file, which is unpacked once into `downloads`.

    Raises:
        UserError: see `array_files.parts` and `ArraySource`.
    """
    if path is None:
        raise UserError("data.path is missing: data.source `arrays` needs the folder of .npy files, or the .npz file")
    known = headers(path)
    every = parts(known, path)
    source = ArraySource(_folder(path, downloads), every, f"arrays of {path.name}", _inputs(path, every))
    source.warnings += [
        f"{name}{ENDING} is not read: its name is none of those in docs/data.md" for name in unread(path)
    ]
    return source


def open_unlabeled_arrays(path: Path, downloads: Path) -> ArraySource:
    """Open the array of inputs without labels in a folder or a .npz file.

    Raises:
        UserError: see `array_files.unlabeled_part`.
    """
    part = unlabeled_part(headers(path), path)
    return ArraySource(_folder(path, downloads), [part], f"array of {path.name}", _inputs(path, [part]))


def _folder(path: Path, downloads: Path) -> Path:
    if path.is_dir():
        return path
    unpacked = downloads / "unpacked"
    with zipfile.ZipFile(path) as archive:  # arrays of zeros shrink more than the archives of pictures may
        said = sum(member.file_size for member in archive.infolist())
    extract_once(path, unpacked, max_bytes=said)
    return unpacked


def _inputs(path: Path, every: Sequence[Part]) -> tuple[Path, ...]:
    if not path.is_dir():
        return (path,)
    names = (name for part in every for name in (part.inputs, part.labels) if name is not None)
    return tuple(path / f"{name}{ENDING}" for name in names)


def _labels(folder: Path, part: Part) -> np.ndarray:
    values = np.asarray(_mapped(folder / f"{part.labels}{ENDING}")).reshape(-1)
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}): it is damaged, or cut off; save it again") from error
