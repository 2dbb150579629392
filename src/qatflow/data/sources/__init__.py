"""Where pictures come from: one file a source, all of them in this table.

A new source is a file here that has the interface of `source.Source`, and a line below.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from qatflow.data.sources.digits import DigitsSource
from qatflow.data.sources.folder import open_folder
from qatflow.data.sources.idx import open_idx
from qatflow.data.sources.source import Source

# name in data.source → opener, called with data.path (or None) and a folder for downloads
SOURCES: Mapping[str, Callable[[Path | None, Path], Source]] = {
    "digits": lambda path, downloads: DigitsSource(),
    "folder": open_folder,
    "idx": open_idx,
}
