"""Pictures or arrays without labels: beside labelled ones for calibration and distillation, or a whole data set."""

import os
from pathlib import Path

from qatflow.base.archive import extract_once, is_archive
from qatflow.base.errors import UserError
from qatflow.data.sources.arrays import open_unlabeled_arrays
from qatflow.data.sources.class_folders import files
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.lists import read_names
from qatflow.data.sources.source import PictureSource
from qatflow.data.sources.source_files import NAMES, UNLABELED, WITHOUT_LABELS


def open_unlabeled(path: Path, arrays: bool, downloads: Path) -> PictureSource:
    """Open inputs without labels: every file below a folder or in an archive, or an array.

    Args:
        path: as in data.unlabeled.path.
        arrays: whether they are arrays, as the labelled inputs are.
        downloads: folder for unpacked files.

    Raises:
        UserError: there is nothing at the path, or it cannot be read.
    """
    if arrays:
        return open_unlabeled_arrays(path, downloads)
    return _listed(path, downloads, "data.unlabeled.path")[1]


def open_without_labels(path: Path | None, downloads: Path) -> PictureSource:
    """Open pictures as a data set of their own: every file below a folder or in an archive.

    A labels.txt at its top is no picture: it names the classes. Without it, `labels` is empty: the float model has as
    many classes as it has.

    Raises:
        UserError: there is nothing at the path, it cannot be read, or labels.txt is no list of at least two names.
    """
    if path is None:
        raise UserError(f"data.path is missing: data.source `{WITHOUT_LABELS}` needs the folder with the pictures")
    root, source = _listed(path, downloads, "data.path", leave_out=NAMES)
    source.labels = read_names(root / NAMES, unique=False) or ()
    if len(source.labels) == 1:
        raise UserError(f"data.path: {root / NAMES} names one class: at least two are needed")
    return source


def _listed(path: Path, downloads: Path, key: str, leave_out: str = "") -> tuple[Path, FileSource]:
    """Return the folder of the pictures and their list; a file of the name `leave_out` at its top is not among them."""
    root = path
    inputs: tuple[Path, ...] = ()
    if not path.is_dir():
        if not is_archive(path):
            raise UserError(f"{key}: {path} is neither a folder nor a tar or zip archive that can be read")
        root, inputs = downloads / "unpacked", (path,)
        extract_once(path, root)
    kind = "archive" if inputs else "folder"
    source = FileSource(root, f"pictures of the {kind} {path.name}", inputs)
    try:
        for file in files(root):
            name = file.relative_to(root).as_posix()
            if name != leave_out:
                source.pictures.add(os.fsencode(name), UNLABELED, "train")
    except OSError as error:
        raise UserError(
            f"{key}: {error.filename} cannot be listed: {error.strerror}: make it readable, or remove it"
        ) from error
    if not len(source.pictures):
        raise UserError(f"{key}: {root} holds no file: name the folder with the pictures")
    return root, source
