"""Numbers of classes and pictures that a source shows before it is prepared, without opening a picture."""

from itertools import chain, islice
from pathlib import Path

from qatflow.config.sections.data import DataSection
from qatflow.data.sources.class_folders import files, folders, has_splits, holds_files, problem

TEN = 10  # classes of scikit-learn's digits, and of Fashion-MNIST


def known_classes(data: DataSection) -> int | None:
    """Return the number of classes; None if it is only known when the source is prepared, or cannot be read."""
    if data.source == "digits" or (data.source == "idx" and data.path is None):
        return TEN
    root = _class_folders(data)
    if root is None:
        return None
    try:
        return sum(map(holds_files, folders(root / "train" if has_splits(root) else root)))
    except OSError:
        return None


def at_most(data: DataSection, enough: int) -> int | None:
    """Return the number of files in class folders that are not split, or in a folder of pictures without labels.

    No more pictures than that can be prepared.

    Args:
        data: the section.
        enough: counting ends here.

    Returns:
        The number, `enough` where there are more; None for other sources, or where it cannot be read.
    """
    root = _class_folders(data)
    try:
        if not data.has_labels and data.path is not None and Path(data.path).is_dir():
            return sum(1 for _ in islice(files(Path(data.path)), enough))
        if root is None or has_splits(root):
            return None
        return sum(1 for _ in islice(chain.from_iterable(map(files, folders(root))), enough))
    except OSError:
        return None


def _class_folders(data: DataSection) -> Path | None:
    """Return the folder of a source `folder`; None for another source, an archive, or a folder with a problem."""
    if data.source != "folder" or data.path is None:
        return None
    root = Path(data.path)
    try:
        return root if root.is_dir() and not problem(root) else None
    except OSError:
        return None
