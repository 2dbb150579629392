"""All sources of pictures by name. `lists` and `csv` share a file; every other source has its own.

To add a source, write a file in this folder with the interface of `source.PictureSource`, and add a line below.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.data.sources.arrays import open_arrays
from qatflow.data.sources.digits import DigitsSource
from qatflow.data.sources.folder import open_folder
from qatflow.data.sources.idx import open_idx
from qatflow.data.sources.imagenet import open_imagenet
from qatflow.data.sources.lists import open_csv, open_lists
from qatflow.data.sources.source import PictureSource
from qatflow.data.sources.source_files import TFDS, WITHOUT_LABELS
from qatflow.data.sources.tfds import open_tfds
from qatflow.data.sources.unlabeled import open_without_labels

# name in data.source → opener, called with data.path (or None) and a folder for downloads
SOURCES: Mapping[str, Callable[[Path | None, Path], PictureSource]] = {
    "arrays": open_arrays,
    "csv": open_csv,
    "digits": lambda path, downloads: DigitsSource(),
    "folder": open_folder,
    "idx": open_idx,
    "imagenet": open_imagenet,
    "lists": open_lists,
    WITHOUT_LABELS: open_without_labels,
}


def open_source(name: str, path: Path | None, downloads: Path) -> PictureSource:
    """Open a source of `SOURCES`, or `tfds:NAME`.

    Args:
        name: as in data.source.
        path: as in data.path.
        downloads: folder for downloaded or unpacked files.

    Raises:
        UserError: there is no such source, or its files are missing or damaged.
    """
    if name.startswith(TFDS):
        return open_tfds(name.removeprefix(TFDS), path)
    if name not in SOURCES:
        raise UserError(f"data.source: {name!r} is not one of {', '.join(sorted(SOURCES))}, {TFDS}NAME")
    return SOURCES[name](path, downloads)
