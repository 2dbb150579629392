"""`folder`: one folder a class, with or without train/, val/ (or validation/) and test/ above them."""

import os
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from qatflow.data.picture import Encoded, RejectedError, stored
from qatflow.data.sources.source import Picture, Rejected, Split
from qatflow.errors import UserError

SPLIT_FOLDERS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


class FolderSource:
    """A tree of pictures: `<root>/<class>/…` or `<root>/{train,val,test}/<class>/…`, at any depth below the class.

    The classes are the folders (of training, where there are splits) in the order of their names. Every file counts
    as a picture but those whose name begins with a dot; a file that is none, or lies outside the class folders under
    a picture's name, is rejected. The files' own bytes are kept (see `picture.stored` for the exceptions).

    Raises:
        UserError: no such folder, fewer than two classes, or a class without a file.
    """

    licence = "not stated"
    inputs: tuple[Path, ...] = ()

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError(f"data.path: {root} is not a folder: give the folder that holds one folder a class")
        self.origin = f"pictures of the folder {root.name}"
        self.pictures: list[Picture] = []
        self.rejected: list[Rejected] = []
        self._root = root
        self._paths: list[Path] = []
        splits = {name: split for name, split in SPLIT_FOLDERS.items() if (root / name).is_dir()}
        has_splits = "train" in splits and bool(_folders(root / "train"))
        parts: dict[Path, Split] = {root / name: split for name, split in splits.items()}
        parts = parts if has_splits else {root: "train"}
        self.labels = tuple(_text(folder.name) for folder in _folders(root / "train" if has_splits else root))
        if len(self.labels) < 2:
            raise UserError(
                f"data.path: {root} holds {len(self.labels)} class folders: at least two are needed, directly in it "
                "or in its train/"
            )
        if has_splits:
            self._reject(_loose(root), "lies outside train/, val/ and test/")
            for other in _folders(root):
                if other.name not in SPLIT_FOLDERS:
                    self._reject(_files(other), "lies outside train/, val/ and test/")
        for part, split in parts.items():
            self._list(part, split)

    def encoded(self, index: int) -> Encoded:
        """Return one picture's own bytes, or the PNG it was converted to."""
        try:
            content = self._paths[index].read_bytes()
        except OSError as error:
            raise RejectedError(f"cannot be read: {error.strerror}") from error
        return stored(content)

    def _list(self, part: Path, split: Split) -> None:
        numbers = {name: number for number, name in enumerate(self.labels)}
        self._reject(_loose(part), "lies in no class folder")
        for folder in _folders(part):
            files = list(_files(folder))
            label = numbers.get(_text(folder.name))
            if label is None:
                self._reject(files, f"its class {_text(folder.name)!r} has no folder in train/")
                continue
            if not files and split == "train":
                raise UserError(f"{folder} holds no picture: put some there, or remove the folder")
            self._paths += files
            self.pictures += [Picture(self._key(file), label, split) for file in files]

    def _reject(self, paths: Iterator[Path] | list[Path], reason: str) -> None:
        self.rejected += [Rejected(self._key(path), reason) for path in paths]

    def _key(self, path: Path) -> str:
        return _text(path.relative_to(self._root).as_posix())


def open_folder(path: Path | None, downloads: Path) -> FolderSource:
    """Open the tree at `path`, which must be given."""
    if path is None:
        raise UserError("data.path is missing: data.source `folder` needs the folder that holds one folder a class")
    return FolderSource(path)


def _text(name: str) -> str:
    """Return a file name as text that UTF-8 can hold, whatever bytes the file system has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted by path, hidden ones left out."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(here) / name


def _loose(folder: Path) -> list[Path]:
    """Return the files directly in a folder that are pictures by their name."""
    kinds = Image.registered_extensions()
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_file() and not entry.name.startswith(".") and entry.suffix.lower() in kinds
    )
