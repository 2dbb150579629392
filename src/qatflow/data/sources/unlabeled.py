"""Pictures or arrays without labels, which calibration and distillation use beside the labelled ones."""

import os
from pathlib import Path

from qatflow.base.archive import extract_once, is_archive
from qatflow.base.errors import UserError
from qatflow.data.sources.arrays import open_unlabeled_arrays
from qatflow.data.sources.class_folders import files
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.source import PictureSource
from qatflow.data.sources.source_files import UNLABELED


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
    if path.is_dir():
        return _folder(path, f"pictures of the folder {path.name}", ())
    if not is_archive(path):
        raise UserError(f"data.unlabeled.path: {path} is neither a folder nor a tar or zip archive that can be read")
    extract_once(path, downloads / "unpacked")
    return _folder(downloads / "unpacked", f"pictures of the archive {path.name}", (path,))


def _folder(root: Path, origin: str, inputs: tuple[Path, ...]) -> FileSource:
    source = FileSource(root, origin, inputs)
    try:
        for file in files(root):
            source.pictures.add(os.fsencode(file.relative_to(root).as_posix()), UNLABELED, "train")
    except OSError as error:
        raise UserError(
            f"data.unlabeled.path: {error.filename} cannot be listed: {error.strerror}: make it readable, or remove it"
        ) from error
    if not len(source.pictures):
        raise UserError(f"data.unlabeled.path: {root} holds no file: name the folder with the pictures")
    return source
