"""`imagenet`: ILSVRC2012 as its archives unpack: one folder per WordNet id for training, a flat one for validation.

The labels are the sorted WordNet ids, which is the order of Keras', TensorFlow's and Caffe's weights. The numbers of
the ground truth (ILSVRC2012_ID) have another order, which only the development kit documents: without it they are not
used.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.data.sources.class_folders import is_clutter
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.listing import Rejected, text_of
from qatflow.data.sources.source_files import KIT, MAP, META, NUMBERS, TRAIN, VALIDATION, WORDNET_IDS

WORDNET_ID = re.compile(r"n\d{8}")
PICTURE_NUMBER = re.compile(r"_(\d{8})\.[A-Za-z]+$")  # ILSVRC2012_val_00000001.JPEG
LICENCE = "ImageNet's terms of access: for research and teaching, not commercial"


def open_imagenet(path: Path | None, downloads: Path) -> FileSource:
    """Open the folder that holds ILSVRC2012_img_train/ and optionally ILSVRC2012_img_val/.

    Validation pictures are in folders by WordNet id, or flat. A flat picture's line of the ground truth is found by the
    number in its name, so a missing picture shifts no other. The classes are those of the development kit if there is
    one, or else the training folders.

    Raises:
        UserError: there is no such folder, there are fewer than two classes, or the ground truth of flat validation
            pictures is missing or damaged, or consists of numbers without the development kit.
    """
    if path is None:
        raise UserError(f"data.path is missing: data.source `imagenet` needs the folder that holds {TRAIN}/")
    source = FileSource(path, f"ILSVRC2012 in the folder {path.name}")
    source.licence = LICENCE
    try:
        _list(source, path)
    except OSError as error:
        raise UserError(f"data.path: {error.filename} cannot be listed or read: {error.strerror}") from error
    return source


def _list(source: FileSource, root: Path) -> None:
    train, validation = root / TRAIN, root / VALIDATION
    if not train.is_dir():
        raise UserError(f"data.path: {root} holds no {TRAIN}/: give the folder that holds it")
    folders = _wordnet_folders(train)
    if len(folders) < 2:
        packed = any(train.glob("n*.tar"))
        way_out = (
            "unpack each n….tar there into a folder of its name" if packed else "unpack the training pictures there"
        )
        raise UserError(f"data.path: {train} holds {len(folders)} folders named by WordNet ids: {way_out}")
    numbers = _numbers(root)
    source.labels = tuple(sorted(set(numbers.values()) or folders))
    for name in folders:
        _add_folder(source, root, f"{TRAIN}/{name}", name, "train")
    _reject_others(source, root, train, folders)
    if not validation.is_dir():
        return
    inside = _wordnet_folders(validation)
    if inside:
        for name in inside:
            _add_folder(source, root, f"{VALIDATION}/{name}", name, "validation")
        _reject_others(source, root, validation, inside)
    else:
        _add_flat(source, root, _truth(root, numbers))


def _wordnet_folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if WORDNET_ID.fullmatch(entry.name) and entry.is_dir())


def _add_folder(source: FileSource, root: Path, folder: str, wordnet_id: str, split: Any) -> None:
    names = sorted(name for name in os.listdir(root / folder) if not is_clutter(name))  # noqa: PTH208
    if wordnet_id not in source.labels:
        reason = f"its class {wordnet_id} is none of the classes"
        source.rejected += [Rejected(text_of(f"{folder}/{name}"), reason) for name in names]
        return
    if not names:
        source.rejected.append(Rejected(f"{folder}/", "a class folder without a picture"))
        source.warnings.append(f"the folder {folder}/ holds no picture")
    label = source.labels.index(wordnet_id)
    for name in names:
        source.pictures.add(os.fsencode(f"{folder}/{name}"), label, split)


def _reject_others(source: FileSource, root: Path, folder: Path, known: list[str]) -> None:
    """Reject what lies beside the class folders, except the archives that they were unpacked from."""
    for entry in sorted(folder.iterdir()):
        if entry.name not in known and not is_clutter(entry.name) and entry.suffix != ".tar":
            reason = (
                "lies in no folder named by a WordNet id" if entry.is_file() else "a folder not named by a WordNet id"
            )
            source.rejected.append(Rejected(text_of(entry.relative_to(root).as_posix()), reason))


def _add_flat(source: FileSource, root: Path, truth: Mapping[int, str]) -> None:
    labels = {wordnet_id: label for label, wordnet_id in enumerate(source.labels)}
    for name in sorted(os.listdir(root / VALIDATION)):  # noqa: PTH208
        if is_clutter(name):
            continue
        number = PICTURE_NUMBER.search(name)
        wordnet_id = truth.get(int(number[1])) if number else None
        if wordnet_id is None:
            reason = "no number in its name that the ground truth has"
        elif wordnet_id not in labels:
            reason = f"its class {wordnet_id} is none of the classes"
        else:
            source.pictures.add(os.fsencode(f"{VALIDATION}/{name}"), labels[wordnet_id], "validation")
            continue
        source.rejected.append(Rejected(text_of(f"{VALIDATION}/{name}"), reason))


def _truth(root: Path, numbers: Mapping[int, str]) -> dict[int, str]:
    """Return the WordNet id of each validation picture, by its number from 1."""
    if (path := _find(root, WORDNET_IDS)) is not None:
        return {number: _checked(path, number, line) for number, line in enumerate(_lines(path), start=1)}
    path = _find(root, NUMBERS)
    if path is None:
        raise UserError(
            f"data.path: {root} has validation pictures in {VALIDATION}/, but neither {NUMBERS} nor {WORDNET_IDS}: put "
            "the development kit (ILSVRC2012_devkit_t12/) next to it"
        )
    if not numbers:
        raise UserError(
            f"data.path: {path} has numbers in the order of ILSVRC2012_ID, which is not that of the WordNet ids; "
            f"{META} or {MAP} of the development kit says which is which: put one of them into {path.parent}"
        )
    truth = {}
    for line, text in enumerate(_lines(path), start=1):
        if not text.isdecimal() or int(text) not in numbers:
            raise UserError(f"data.path: {path}:{line}: {text!r} is not one of the {len(numbers)} class numbers")
        truth[line] = numbers[int(text)]
    return truth


def _numbers(root: Path) -> dict[int, str]:
    """Return the WordNet id of each ILSVRC2012_ID of a leaf class; empty if there is no development kit."""
    if (path := _find(root, META)) is not None:
        return _from_meta(path)
    if (path := _find(root, MAP)) is None:
        return {}
    numbers = {}
    for line, text in enumerate(_lines(path), start=1):
        parts = text.split()
        if len(parts) < 2 or not parts[1].isdecimal():
            raise UserError(f"data.path: {path}:{line}: not a line of the form `n02119789 1 kit_fox`")
        numbers[int(parts[1])] = _checked(path, line, parts[0])
    return numbers


def _from_meta(path: Path) -> dict[int, str]:
    from scipy.io import loadmat

    try:
        synsets = loadmat(path, squeeze_me=True, variable_names=["synsets"])["synsets"]
        leaves = synsets[synsets["num_children"].astype(int) == 0]
        return {int(s["ILSVRC2012_ID"]): _checked(path, int(s["ILSVRC2012_ID"]), str(s["WNID"])) for s in leaves}
    except UserError:
        raise
    except Exception as error:  # SciPy raises many kinds for damaged files
        raise UserError(
            f"data.path: {path} is not the {META} of the development kit ({error!r}): fetch it again"
        ) from error


def _find(root: Path, name: str) -> Path | None:
    return next((path for folder in KIT if (path := root / folder / name).is_file()), None)


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii", "backslashreplace").split("\n")[
        : None if not path.read_bytes().endswith(b"\n") else -1
    ]


def _checked(path: Path, line: int, wordnet_id: str) -> str:
    if not WORDNET_ID.fullmatch(wordnet_id.strip()):
        raise UserError(f"data.path: {path}:{line}: {wordnet_id!r} is not a WordNet id such as n02119789")
    return wordnet_id.strip()
