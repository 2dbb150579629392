"""`csv`: a list of pictures with the columns path, label and, if it likes, split."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.data.source_files import NAMES, Split
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.labelled import Entry, add_entries
from qatflow.data.sources.source import Rejected

SPLIT_NAMES: dict[str, Split] = {
    "": "train", "train": "train", "val": "validation", "validation": "validation", "test": "test",
}  # fmt: skip


def open_csv(path: Path | None, downloads: Path) -> FileSource:
    """Open the list at `path`: UTF-8 with a header line; the pictures' paths are relative to its folder.

    Labels are the names of the classes, or their numbers from 0 where all of training are whole numbers; labels.txt
    beside the list names and orders the classes. Without a split (train, val or validation, test) a picture is for
    training. Other columns are left alone.

    Raises:
        UserError: the file cannot be read or lacks a column, or see `labelled.add_entries`.
    """
    if path is None:
        raise UserError("data.path is missing: data.source `csv` needs the list, with the columns path and label")
    source = FileSource(path.parent, f"pictures of the list {path.name}")
    add_entries(source, lambda: _entries(path), path.parent / NAMES)
    return source


def _entries(path: Path) -> Iterator[Entry | Rejected]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(rows, [])]
            if missing := [name for name in ("path", "label") if name not in header]:
                raise UserError(
                    f"data.path: {path}:1: no column {' and '.join(missing)}: the first line must name the columns "
                    "path, label and, if it likes, split"
                )
            for row in rows:
                where = f"{path.name}:{rows.line_num}"
                if row:
                    yield _entry(where, dict(zip(header, row, strict=False)), len(row) == len(header))
    except OSError as error:
        raise UserError(f"data.path: {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"data.path: {path}: no CSV file in UTF-8 ({error}): save it anew") from error


def _entry(where: str, row: dict[str, str], whole: bool) -> Entry | Rejected:
    picture, label = row.get("path", ""), row.get("label", "").strip()
    split = row.get("split", "").strip().lower()
    if not whole:
        return Rejected(where, "a row of more or fewer columns than the first")
    if not picture or not label:
        return Rejected(where, "a row without a path or a label")
    if split not in SPLIT_NAMES:
        return Rejected(where, f"its split {split!r} is none of train, val, validation, test")
    return Entry(where, os.fsencode(picture), str(int(label)) if label.isdecimal() else label, SPLIT_NAMES[split])
