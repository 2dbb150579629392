"""`lists`: train_list.txt, val_list.txt and test_list.txt with "path label" a line, as PaddleSlim's reader has them."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.data.source_files import LISTS, NAMES, SPLITS, Split
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.labelled import Entry, add_entries
from qatflow.data.sources.source import Rejected

SPLIT_OF: dict[str, Split] = dict(zip(LISTS, SPLITS, strict=True))


def open_lists(path: Path | None, downloads: Path) -> FileSource:
    """Open the lists in the folder `path`; the pictures' paths are relative to it.

    The label is what stands behind the last blank, so a path may have blanks itself. Labels are numbers from 0;
    labels.txt beside the lists, a name a line, names the classes. val_list.txt and test_list.txt may be missing.

    Raises:
        UserError: there is no train_list.txt that can be read, or see `labelled.add_entries`.
    """
    if path is None:
        raise UserError("data.path is missing: data.source `lists` needs the folder that holds train_list.txt")
    source = FileSource(path, f"pictures of the lists in {path.name}")
    present = [name for name in LISTS if (path / name).is_file()]
    if "train_list.txt" not in present:
        raise UserError(f"data.path: {path} holds no train_list.txt: give the folder that holds the lists")
    add_entries(source, lambda: (entry for name in present for entry in _entries(path / name)), path / NAMES)
    return source


def _entries(path: Path) -> Iterator[Entry | Rejected]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path.name}:{number}"
                parts = line.removeprefix(b"\xef\xbb\xbf").strip().rsplit(None, 1)
                if len(parts) == 2 and parts[1].isdigit():
                    yield Entry(where, parts[0], str(int(parts[1])), SPLIT_OF[path.name])
                elif parts:
                    yield Rejected(where, "no line of the form `path label` with a whole number from 0 as label")
    except OSError as error:
        raise UserError(f"data.path: {path} cannot be read: {error.strerror}") from error
