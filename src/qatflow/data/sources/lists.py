"""`lists` and `csv`: files that list pictures with their labels, as text lines or as a table.

A list is read twice: first for its labels, which give the classes, then for its pictures.
"""

import csv
import hashlib
import os
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.listing import Rejected, key_of
from qatflow.data.sources.source_files import LISTS, NAMES, SPLITS, Split

SPLIT_OF_LIST: dict[str, Split] = dict(zip(LISTS, SPLITS, strict=True))
SPLIT_OF_COLUMN: dict[str, Split] = {
    "": "train", "train": "train", "val": "validation", "validation": "validation", "test": "test",
}  # fmt: skip
DRIVE = re.compile(rb"[A-Za-z]:[\\/]")
SEVERAL = re.compile(r"\s*[,;|]\s*")
"""What tables of several labels a picture put between them."""
SEVERAL_NUMBERS = re.compile(rb"\d+([,;|]\d+)+")
ONE_CLASS = "a picture has one class here: several at once (multi-label) are not supported"
NEGATIVE = re.compile(rb"-\d+")
DIGEST = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a list.

    Attributes:
        where: file and line, such as `train_list.txt:12`.
        path: of the picture, relative to the list's folder or absolute.
        label: as written in the list.
        split: to which the picture belongs.
    """

    where: str
    path: bytes
    label: str
    split: Split


def open_lists(path: Path | None, downloads: Path) -> FileSource:
    """Open the lists in the folder `path`; the pictures' paths are relative to it.

    A line is `path label`, as in PaddleSlim's reader. The label follows the last blank, so paths may contain blanks.
    Labels are numbers from 0; labels.txt next to the lists names the classes, one per line. val_list.txt and
    test_list.txt are optional.

    Raises:
        UserError: there is no train_list.txt that can be read, or see `add_entries`.
    """
    if path is None:
        raise UserError("data.path is missing: data.source `lists` needs the folder that holds train_list.txt")
    source = FileSource(path, f"pictures of the lists in {path.name}")
    present = [name for name in LISTS if (path / name).is_file()]
    if "train_list.txt" not in present:
        raise UserError(f"data.path: {path} holds no train_list.txt: give the folder that holds the lists")
    add_entries(source, lambda: (entry for name in present for entry in _text_entries(path / name)), path / NAMES)
    return source


def open_csv(path: Path | None, downloads: Path) -> FileSource:
    """Open the list at `path`: UTF-8 with a header line; the pictures' paths are relative to its folder.

    The columns are path, label and optionally split. Labels are class names, or numbers from 0 if all training labels
    are whole numbers; labels.txt next to the list names and orders the classes. Pictures without a split (train, val or
    validation, test) are for training. Other columns are ignored.

    Raises:
        UserError: the file cannot be read or lacks a column, or see `add_entries`.
    """
    if path is None:
        raise UserError("data.path is missing: data.source `csv` needs the list, with the columns path and label")
    source = FileSource(path.parent, f"pictures of the list {path.name}")
    add_entries(source, lambda: _csv_entries(path), path.parent / NAMES)
    return source


def add_entries(source: FileSource, entries: Callable[[], Iterator[Entry | Rejected]], names: Path) -> None:
    """Read the list twice: first for its labels, then to fill the source with its pictures.

    Labels are class names, or numbers from 0 if all training labels are whole numbers. If the file `names` exists (one
    class name per line, in the order of the numbers), it names the classes. Otherwise names are numbered in sorted
    order, and numbers may have no gap. Entries whose label belongs to no class are rejected.

    A picture that a split lists with two labels is rejected.

    Args:
        source: receives pictures, labels and rejected entries.
        entries: function that reads the list; it is called twice.
        names: file that may name the classes.

    Raises:
        UserError: there are fewer than two classes, the numbers have gaps, or a label consists of several others.
    """
    first: dict[str, str] = {}
    wrong: list[str] = []  # the first line that is no entry
    labels_of = _LabelsOf()
    for entry in entries():
        if isinstance(entry, Rejected):
            wrong = wrong or [f"{entry.key}: {entry.reason}"]
        else:
            labels_of.add(entry)
            if entry.split == "train":
                first.setdefault(entry.label, entry.where)
    _check_single(first)
    numbered = all(label.isdecimal() for label in first)
    named = class_names(first, names, "the list of training pictures has", wrong)
    source.labels = named or tuple(sorted(first))
    twice = Counter(source.labels)  # a name that two classes share finds neither
    numbers = {name: number for number, name in enumerate(source.labels) if twice[name] == 1}
    known = f"{names.name} does not name it" if named is not None else "no training picture has it"

    def number_of(label: str) -> int:
        return int(label) if numbered and label.isdecimal() else numbers.get(label, -1)

    ambiguous = labels_of.several(lambda label: 0 <= number_of(label) < len(source.labels))
    backslashes = 0
    for entry in entries():
        if isinstance(entry, Rejected):
            source.rejected.append(entry)
            continue
        number = number_of(entry.label)
        if numbered and entry.label.isdecimal() and number >= len(source.labels):
            reason = f"its label {entry.label} is out of range: there are {len(source.labels)} classes, from 0"
            source.rejected.append(Rejected(_key(entry), reason))
        elif number < 0:
            source.rejected.append(Rejected(_key(entry), f"its label {entry.label!r} is none of the classes: {known}"))
        elif ambiguous and _digest(entry) in ambiguous:
            source.rejected.append(Rejected(_key(entry), f"it is also listed with another label: {ONE_CLASS}"))
        else:
            path = from_windows(entry.path, names.parent, entry.where)
            backslashes += path != entry.path
            source.pictures.add(path, number, entry.split)
    if backslashes:
        source.warnings.append(f"{backslashes} paths are written with \\ as on Windows; \\ is read as /")


def class_names(first: dict[str, str], names: Path, subject: str, wrong: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of the classes; None: their labels are names.

    Args:
        first: where each label of training occurs first, by label.
        names: file that could name the classes.
        subject: how a message about fewer than two classes begins, up to their number.
        wrong: what is said of labels that make no class.

    Raises:
        UserError: there are fewer than two classes, the file cannot be used, or a number has no training input.
    """
    numbered = all(label.isdecimal() for label in first)
    named = read_names(names, unique=not numbered)
    if len(first) < 2:
        count = f"{len(first)} class{'' if len(first) == 1 else 'es'}"
        raise UserError(
            f"data.path: {subject} {count}: at least two are needed{''.join(f'; {one}' for one in wrong[:1])}"
        )
    return _all_numbers(first, names) if named is None and numbered else named


class _LabelsOf:
    """Which labels each picture of a split has: 24 bytes an entry, whatever the length of its path."""

    def __init__(self) -> None:
        self._pictures = bytearray()
        self._labels = array("q")
        self._number: dict[str, int] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry of the list."""
        self._pictures += _digest(entry)
        self._labels.append(self._number.setdefault(entry.label, len(self._number)))

    def several(self, belongs: Callable[[str], bool]) -> set[bytes]:
        """Return the digests of the pictures with two labels or more for which `belongs` is true."""
        known = np.asarray([belongs(label) for label in self._number], bool)
        labels = np.asarray(self._labels, np.int64)
        counts = known[labels]
        pictures, labels = np.frombuffer(self._pictures, np.uint64).reshape(-1, 2)[counts], labels[counts]
        order = np.lexsort(pictures.T)
        pictures, labels = pictures[order], labels[order]
        # the entries of a picture lie side by side, so that two labels differ somewhere between neighbours
        differs = (pictures[1:] == pictures[:-1]).all(axis=1) & (labels[1:] != labels[:-1])
        return {picture.tobytes() for picture in pictures[1:][differs]}


def _digest(entry: Entry) -> bytes:
    return hashlib.blake2b(entry.split.encode() + b" " + entry.path, digest_size=DIGEST).digest()


def _check_single(first: dict[str, str]) -> None:
    """Raise if a label consists of labels that other pictures have alone; `first` has the place of each."""
    for label, where in first.items():
        parts = SEVERAL.split(label)
        if len(parts) > 1 and all(part in first for part in parts):
            raise UserError(
                f"data.path: {where}: the label {label!r} consists of {' and '.join(parts)}, which are classes of "
                f"their own: {ONE_CLASS}. Keep one label of each picture, or leave such pictures out"
            )


def from_windows(path: bytes, root: Path, where: str) -> bytes:
    """Return the path of a picture with `/` for Windows' `\\`, if only that names an existing file.

    Args:
        path: as written in a list, relative to `root` or absolute.
        root: the folder of the list.
        where: file and line, for the message.

    Raises:
        UserError: the path starts with a drive (`C:`); the message has the path to write instead.
    """
    if b"\\" not in path and not DRIVE.match(path):
        return path
    if _is_file(root, path):
        return path
    parts = path.replace(b"\\", b"/").split(b"/")
    if not DRIVE.match(path):
        other = b"/".join(parts)
        return other if _is_file(root, other) else path
    ends = (b"/".join(parts[first:]) for first in range(1, len(parts)))
    existing = next((end for end in ends if _is_file(root, end)), None)
    better = f"write {key_of(existing)}" if existing else f"write it relative to {root}, with /, as class/picture.jpg"
    raise UserError(f"data.path: {where}: {key_of(path)} is a Windows path with a drive: {better}")


def _is_file(root: Path, path: bytes) -> bool:
    try:
        return (root / os.fsdecode(path)).is_file()
    except (OSError, ValueError):
        return False


def _key(entry: Entry) -> str:
    return f"{entry.where}: {key_of(entry.path)}"


def read_names(names: Path, unique: bool) -> tuple[str, ...] | None:
    """Return the class names, one per line; None if there is no such file.

    Labels that are numbers find their class by its line, so two classes may then share a name: the usual list of
    ImageNet's classes has two cranes.

    Raises:
        UserError: the file cannot be read, has an empty line, or names a class twice where `unique`.
    """
    try:
        lines = names.read_text("utf-8-sig").split("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"data.path: {names} cannot be read ({error}): it must be UTF-8 with one class name per line"
        ) from error
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    known: dict[str, int] = {}
    for number, name in enumerate(lines, start=1):
        if not name:
            raise UserError(f"data.path: {names}:{number}: the class name is empty: write a name on each line")
        if unique and name in known:
            raise UserError(
                f"data.path: {names}:{number}: the class name {name!r} is also in line {known[name]}: if labels are "
                "names, each class needs its own name; if labels are numbers, it does not"
            )
        known.setdefault(name, number)
    return tuple(lines)


def _all_numbers(first: dict[str, str], names: Path) -> tuple[str, ...]:
    """Return the names of classes that are numbers, in order.

    Args:
        first: where each label of training occurs first, by label.
        names: file that could name the classes.

    Raises:
        UserError: a number below the largest has no training picture.
    """
    used = {int(label): where for label, where in first.items()}
    largest = max(used)
    if len(used) != largest + 1:
        missing = next(number for number in range(largest) if number not in used)
        raise UserError(
            f"data.path: {used[largest]}: the label {largest}, but no training picture has the label {missing}: "
            f"correct it, or name all classes in {names}, one per line, from number 0 on"
        )
    return tuple(str(number) for number in range(largest + 1))


def _text_entries(path: Path) -> Iterator[Entry | Rejected]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path.name}:{number}"
                parts = line.removeprefix(b"\xef\xbb\xbf").strip().rsplit(None, 1)
                if len(parts) == 2 and _several(path.parent, *parts):
                    yield Rejected(where, f"several labels: {ONE_CLASS}")
                elif len(parts) == 2 and parts[1].isdigit():
                    yield Entry(where, parts[0], str(int(parts[1])), SPLIT_OF_LIST[path.name])
                elif parts:
                    form = "no line of the form `path label` with a whole number from 0 as label"
                    below = len(parts) == 2 and NEGATIVE.fullmatch(parts[1])
                    yield Rejected(where, f"the label {parts[1].decode()} is below 0" if below else form)
    except OSError as error:
        raise UserError(f"data.path: {path} cannot be read: {error.strerror}") from error


def _several(root: Path, picture: bytes, label: bytes) -> bool:
    """Return whether the end of a line is several labels: joined, or after blanks that are not part of the path."""
    before = picture.rsplit(None, 1)
    blanks = len(before) == 2 and before[1].isdigit() and label.isdigit() and not _is_file(root, picture)
    return bool(SEVERAL_NUMBERS.fullmatch(label)) or (blanks and _is_file(root, before[0]))


def _csv_entries(path: Path) -> Iterator[Entry | Rejected]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(rows, [])]
            if missing := [name for name in ("path", "label") if name not in header]:
                raise UserError(
                    f"data.path: {path}:1: no column {' and '.join(missing)}: the first line must name the columns "
                    "path, label and optionally split"
                )
            for row in rows:
                where = f"{path.name}:{rows.line_num}"
                if row:
                    yield _csv_entry(where, dict(zip(header, row, strict=False)), len(row) == len(header))
    except OSError as error:
        raise UserError(f"data.path: {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.path: {path}: not a CSV file in UTF-8 ({error}): save it again") from error


def _csv_entry(where: str, row: dict[str, str], whole: bool) -> Entry | Rejected:
    picture, label = row.get("path", ""), row.get("label", "").strip()
    split = row.get("split", "").strip().lower()
    if not whole:
        return Rejected(where, "a row of more or fewer columns than the first")
    if not picture or not label:
        return Rejected(where, "a row without a path or a label")
    if split not in SPLIT_OF_COLUMN:
        return Rejected(where, f"its split {split!r} is none of train, val, validation, test")
    return Entry(where, os.fsencode(picture), str(int(label)) if label.isdecimal() else label, SPLIT_OF_COLUMN[split])
