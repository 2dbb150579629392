"""Finds the class folders in a tree of pictures, by names and places alone. Opens no picture."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from qatflow.data.sources.source_files import Split

SPLIT_FOLDERS: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}

# Files that Windows, macOS and network drives add, in lower case. Names that start with a dot are hidden.
CLUTTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "@eadir"})
MACOS = "__MACOSX"  # holds only hidden files, in archives made by macOS

SPLIT_LIKE = re.compile(
    r"(train|training|val|valid|validation|test|testing|eval|dev)([ _-]?(set|data|split|images|imgs|pictures))?", re.I
)


def is_clutter(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or created by an operating system."""
    return name.startswith(".") or name.lower() in CLUTTER


def folders(parent: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without clutter."""
    return sorted(
        entry
        for entry in parent.iterdir()
        if entry.is_dir() and not is_clutter(entry.name) and not (entry.name == MACOS and not any(files(entry)))
    )


def files(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is not a folder, sorted by path, without clutter; includes folder links.

    Raises:
        OSError: a folder cannot be listed.
    """
    for here, inside, names in os.walk(folder, onerror=_raise):
        links = [name for name in inside if (Path(here) / name).is_symlink()]
        inside[:] = sorted(name for name in inside if not is_clutter(name))
        for name in sorted(names + links):
            if not is_clutter(name):
                yield Path(here) / name


def holds_files(folder: Path) -> bool:
    """Return whether `files` yields any, without listing a large folder as a whole.

    Raises:
        OSError: a folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        own = any(not is_clutter(entry.name) and not entry.is_dir() for entry in entries)
    return own or any(files(folder))


def has_splits(root: Path) -> bool:
    """Return whether the classes are in `train/`, and perhaps `val/` and `test/`, rather than in the root itself."""
    return (root / "train").is_dir() and bool(folders(root / "train"))


def problem(root: Path) -> str:
    """Return why a folder does not hold one folder per class, and what to write instead; or an empty text.

    Looks no further than necessary: a class folder with one file is enough.

    Raises:
        OSError: a folder cannot be listed.
    """
    split = has_splits(root)
    here = folders(root / "train" if split else root)
    strange = [folder.name for folder in (folders(root) if split else here) if SPLIT_LIKE.fullmatch(folder.name)]
    strange = [name for name in strange if not (split and name in SPLIT_FOLDERS)]
    if not split and (root / "train").is_dir() and len(strange) == len(here):
        return f"{root / 'train'} holds no folders: it needs one folder per class"
    if strange and (split or len(strange) == len(here)):
        names = ", ".join(f"{name}/" for name in strange)
        return (
            f"{root} holds {names}, which look like splits and not like classes: rename the splits to train/, val/ and "
            "test/, each with one folder per class"
        )
    classes = list(islice((folder for folder in here if any(files(folder))), 2))
    if len(classes) == 2:
        return ""
    message = (
        f"{root} holds {'only one class folder' if classes else 'no class folders'} with pictures: at least two are "
        "needed, directly in it or in its train/"
    )
    below = _holds_classes(root)
    if below:
        return f"{message}. Did you mean data.path: {below}?"
    return f"{message}; pictures without classes are data.source 'unlabeled'"


def doubts(root: Path) -> Iterator[str]:
    """Yield a sentence for each doubt about the classes: a split, or a whole data set, may have been taken for a class.

    Raises:
        OSError: a folder cannot be listed.
    """
    split = has_splits(root)
    here = folders(root / "train" if split else root)
    if not split:
        for folder in here:
            if SPLIT_LIKE.fullmatch(folder.name):
                yield f"the folder {folder.name}/ counts as a class: move the classes into train/ if it is a split"
    for folder in here:
        inside, first = folders(folder), next(files(folder), None)
        if len(inside) > 1 and first is not None and first.parent != folder:
            names = ", ".join(entry.name for entry in inside[:3])
            yield (
                f"the class {folder.name} has no pictures of its own, only folders "
                f"({names}{', …' * (len(inside) > 3)}): if these are the classes, set data.path to {folder}"
            )
            return  # other classes are similar: one example is enough


def _holds_classes(root: Path) -> Path | None:
    """Return the only folder that holds class folders or splits, at most two levels below; None if not unique."""
    level = [root]
    for _ in range(2):
        level = [folder for parent in level for folder in folders(parent)]
        good = [folder for folder in level if has_splits(folder) or len(_two_classes(folder)) == 2]
        if good:
            return good[0] if len(good) == 1 else None
    return None


def _two_classes(folder: Path) -> list[Path]:
    return list(islice((inside for inside in folders(folder) if any(files(inside))), 2))


def _raise(error: OSError) -> None:
    raise error
