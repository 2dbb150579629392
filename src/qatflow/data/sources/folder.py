"""`folder`: one folder per class, optionally in train/, val/ (or validation/) and test/; or an archive of that."""

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from qatflow.base.archive import extract_once, is_archive
from qatflow.base.errors import UserError
from qatflow.data.sources.class_folders import SPLIT_FOLDERS, doubts, files, folders, has_splits, is_clutter, problem
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.listing import Rejected, text_of
from qatflow.data.sources.source_files import Split


class FolderSource(FileSource):
    """A tree of pictures: `<root>/<class>/…` or `<root>/{train,val,test}/<class>/…`, at any depth below the class.

    The classes are the folders (of training, if there are splits) in the order of their names. Every file counts as a
    picture except clutter (`class_folders.is_clutter`). Rejected are files that are not pictures, files with a
    picture's name outside the class folders, and class folders without a file. The original bytes are kept (see
    `picture.stored` for the exceptions). Links to files are followed, links to folders below a class are not.

    Args:
        root: the tree.
        origin: where the pictures come from, in words; None: the folder's name.
        inputs: the archive that the tree was unpacked from, if any.

    Raises:
        UserError: there is no such folder, one cannot be listed, or there are fewer than two classes.
    """

    def __init__(self, root: Path, origin: str | None = None, inputs: tuple[Path, ...] = ()) -> None:
        if not root.is_dir():
            raise UserError(f"data.path: {root} is not a folder: give the folder that holds one folder per class")
        super().__init__(root, origin or f"pictures of the folder {root.name}", inputs)
        try:
            self.labels = self._list_all()
        except OSError as error:
            raise UserError(
                f"data.path: {error.filename} cannot be listed: {error.strerror}: make it readable, or remove it"
            ) from error

    def _list_all(self) -> tuple[str, ...]:
        """List every picture, and return the classes."""
        root = self._root
        if reason := problem(root):
            raise UserError(f"data.path: {reason}")
        splits = {name: split for name, split in SPLIT_FOLDERS.items() if (root / name).is_dir()}
        split = has_splits(root)
        training = folders(root / "train" if split else root)
        labels = tuple(text_of(folder.name) for folder in training if any(files(folder)))
        self.warnings += doubts(root)
        if not split:
            self._list(root, "train", labels)
            return labels
        self._reject(_loose(root), "lies outside train/, val/ and test/")
        for other in folders(root):
            if other.name not in SPLIT_FOLDERS:
                self._reject(files(other), "lies outside train/, val/ and test/")
        for name, its_split in splits.items():
            self._list(root / name, its_split, labels)
        return labels

    def _list(self, part: Path, split: Split, labels: tuple[str, ...]) -> None:
        numbers = {name: number for number, name in enumerate(labels)}
        self._reject(_loose(part), "lies in no class folder")
        for folder in folders(part):
            pictures = list(files(folder))
            label = numbers.get(text_of(folder.name))
            if not pictures:
                self.rejected.append(Rejected(f"{self._key(folder)}/", "a class folder without a picture"))
                self.warnings.append(f"the folder {self._key(folder)}/ holds no picture: {_without(split)}")
            elif label is None:
                self._reject(pictures, f"its class {text_of(folder.name)!r} has no folder in train/")
            else:
                for file in pictures:
                    self.pictures.add(os.fsencode(file.relative_to(self._root).as_posix()), label, split)

    def _reject(self, paths: Iterable[Path], reason: str) -> None:
        self.rejected += [Rejected(self._key(path), reason) for path in paths]

    def _key(self, path: Path) -> str:
        return text_of(path.relative_to(self._root).as_posix())


def open_folder(path: Path | None, downloads: Path) -> FolderSource:
    """Open the tree at `path`, which is required; a tar or zip archive of a tree is unpacked once into `downloads`.

    Raises:
        UserError: see `FolderSource` and `archive.extract`; or `path` is not an archive.
    """
    if path is None:
        raise UserError("data.path is missing: data.source `folder` needs the folder that holds one folder per class")
    if not path.is_file():
        return FolderSource(path)
    if not is_archive(path):
        raise UserError(f"data.path: {path} is neither a folder nor a tar or zip archive that can be read")
    unpacked = downloads / "unpacked"
    extract_once(path, unpacked)
    return FolderSource(_top(unpacked), f"pictures of the archive {path.name}", (path,))


def _top(unpacked: Path) -> Path:
    """Return the folder that holds the classes or splits: many archives have one folder with everything in it."""
    while len(inside := folders(unpacked)) == 1 and inside[0].name not in SPLIT_FOLDERS and not _loose(unpacked):
        unpacked = inside[0]
    return unpacked


def _without(split: Split) -> str:
    return "it makes no class" if split == "train" else f"{split} has none of this class"


def _loose(folder: Path) -> list[Path]:
    """Return the entries directly in a folder that have a picture's name, or are neither file nor folder."""
    kinds = Image.registered_extensions()
    entries = (entry for entry in folder.iterdir() if not is_clutter(entry.name) and not entry.is_dir())
    return sorted(entry for entry in entries if entry.suffix.lower() in kinds or not entry.is_file())
