"""Checks of the section `data`: pictures that must exist, and numbers that must fit them."""

import gzip
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.archive import is_archive
from qatflow.base.picture_size import PictureSize, square
from qatflow.config.checks.arrays import ARRAYS, array_counts, check_arrays, check_pictures
from qatflow.config.checks.files import file_problem, folder_problem, overlap
from qatflow.config.checks.known_counts import at_most
from qatflow.config.checks.unlabeled import check_unlabeled
from qatflow.config.sections.config import Config
from qatflow.config.sections.devices import devices
from qatflow.config.yaml.problems import Problem, problem
from qatflow.data.sources import class_folders
from qatflow.data.sources.source_files import LISTS, TFDS, TFDS_MISSING, TRAIN, WITHOUT_LABELS, tfds_installed

NEEDED = {
    "folder": "the folder with one folder per class",
    "imagenet": "the folder with ILSVRC2012_img_train/",
    "lists": "the folder with train_list.txt",
    ARRAYS: "the folder of .npy files, or the .npz file",
    WITHOUT_LABELS: "the folder of the pictures",
    "csv": "the CSV file with the columns path and label",
}
HOLDS = {"imagenet": TRAIN, "lists": LISTS[0]}
DIGITS = 1797  # pictures in scikit-learn
PREFIXES = ("train", "t10k")
IMAGES, LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"


@dataclass(frozen=True)
class IdxCounts:
    """Numbers of pictures in the two files of images, and the size of the largest picture in pixels."""

    train: int
    test: int
    size: PictureSize


FASHION_MNIST = IdxCounts(60_000, 10_000, square(28))


def check_data(config: Config) -> Iterator[Problem]:
    """Yield the problems of the pictures, their split and their preprocessing."""
    yield from _preprocessing(config)
    yield from _path(config)
    yield from check_unlabeled(config.data)
    if config.data.source == "digits":
        yield from _digits(config)
    elif config.data.source == "idx":
        yield from _idx(config)
    elif config.data.source == ARRAYS:
        yield from _arrays(config)
    elif config.data.source in ("folder", WITHOUT_LABELS):
        yield from _folder(config)


def _preprocessing(config: Config) -> Iterator[Problem]:
    preprocessing = config.data.preprocessing
    section = "data.preprocessing"
    for name, values in zip(("mean", "std"), preprocessing.normalisation, strict=True):
        if len(values) not in (1, preprocessing.channels):
            yield problem(
                f"must have one value for all channels or one per channel, and {section}.channels is "
                f"{preprocessing.channels}; got {len(values)}",
                f"{section}.{name}",
                f"{section}.channels",
            )
    yield from check_arrays(config) if config.data.source == ARRAYS else check_pictures(preprocessing)
    short = preprocessing.resize_short
    if short is not None and preprocessing.resize != "crop":
        yield problem(
            f"is for resize 'crop'; remove it, or set {section}.resize to 'crop'",
            f"{section}.resize_short",
            f"{section}.resize",
        )
    elif short is not None and short < preprocessing.picture_size.shorter:
        yield problem(
            f"must be at least {preprocessing.picture_size.shorter}, the shorter side of {section}.size, which is cut "
            "out",
            f"{section}.resize_short",
            f"{section}.size",
        )
    if preprocessing.resize == "pad":
        uses = {"compress.augmentation": config.compress.augmentation}
        if config.pretrained.source == "train":
            uses["pretrained.train.augmentation"] = config.pretrained.train.augmentation
        for key in (key for key, value in uses.items() if value == "crop_flip"):
            yield problem(
                f"'crop_flip' resizes the pictures: set {section}.resize to 'stretch' or 'crop'",
                key,
                f"{section}.resize",
            )


def _path(config: Config) -> Iterator[Problem]:
    data = config.data
    keys = ("data.path", "data.source")
    if data.source == "digits":
        if data.path is not None:
            yield problem(
                "source 'digits' comes with scikit-learn and takes no path: remove it, or change data.source",
                *keys,
            )
    elif data.source.startswith(TFDS):
        if not tfds_installed():
            yield problem(f"{data.source!r} {TFDS_MISSING}", "data.source")
    elif data.path is None:
        if data.source in NEEDED:
            yield problem(f"is missing: source '{data.source}' needs {NEEDED[data.source]}", *keys)
    elif reason := _unreadable(data.source, data.path):
        yield problem(reason, *keys)
    elif data.source in HOLDS and not Path(data.path, HOLDS[data.source]).exists():
        yield problem(f"the folder {data.path} does not contain {HOLDS[data.source]}: set the folder that does", *keys)
    elif overlap(data.path, f"data/{data.name}"):
        yield problem(
            f"{data.path} and data/{data.name}/, which the prepared pictures replace, are the same or contain each "
            "other: move the source, or set another data.name",
            "data.path",
            "data.name",
        )
    elif data.source == "folder" and Path(data.path).is_dir() and (reason := _not_classes(Path(data.path))):
        yield problem(reason, *keys)
    elif data.source == "idx" and (missing := missing_idx(Path(data.path))):
        yield problem(f"the folder {data.path} lacks {', '.join(missing)} (each as it is, or with .gz)", *keys)


def _unreadable(source: str, path: str) -> str:
    """Return why the source cannot be read from `path`, or an empty text."""
    if source == "csv" or (source == ARRAYS and path.endswith(".npz")):
        return file_problem(path)
    if source in ("folder", WITHOUT_LABELS) and not file_problem(path) and is_archive(Path(path)):
        return ""
    return folder_problem(path)


def _not_classes(root: Path) -> str:
    """Return why the folder does not have one folder per class, or an empty text."""
    try:
        return class_folders.problem(root)
    except OSError as error:
        return f"{error.filename} cannot be listed: {error.strerror}: make it readable, or remove it"


def _digits(config: Config) -> Iterator[Problem]:
    data = config.data
    left = DIGITS - data.validation - data.test
    if left < 1:
        yield problem(
            f"validation ({data.validation}) and test ({data.test}) take all {DIGITS} digits; leave some for training",
            "data.validation",
            "data.test",
            "data.source",
        )
    else:
        yield from _calibration(config, left, "data.validation", "data.test", "data.source")
    yield from _device(config)


def _idx(config: Config) -> Iterator[Problem]:
    data = config.data
    counts = _counts(data.path)
    if counts is None:
        return
    keys = ("data.path", "data.source")
    left = counts.train - data.validation
    if left < 1:
        yield problem(
            f"takes all {counts.train:,} training pictures; leave some for training", "data.validation", *keys
        )
    else:
        yield from _calibration(config, left, "data.validation", *keys)
    yield from _device(config)
    size, pictures = data.preprocessing.picture_size, counts.size
    if data.preprocessing.resize == "pad" and (pictures.height > size.height or pictures.width > size.width):
        yield problem(
            f"must be at least {pictures.to_json()}, the size of the pictures, so that they can be padded; or set "
            "data.preprocessing.resize to 'stretch'",
            "data.preprocessing.size",
            "data.preprocessing.resize",
            *keys,
        )


def _folder(config: Config) -> Iterator[Problem]:
    """Yield that too many pictures of a tree without splits are to be set aside; a job counts those of a tree with."""
    data = config.data
    keys = ("validation",) if data.test_from == "validation" else ("validation", "test")
    aside = sum(getattr(data, key) for key in keys)
    count = at_most(data, enough=aside + 1)
    if count is not None and count <= aside:
        numbers = " and ".join(f"data.{key} ({getattr(data, key):,})" for key in keys)
        verb = "takes" if len(keys) == 1 else "take"
        place = "of the class folders in" if data.has_labels else "in"
        yield problem(
            f"{numbers} {verb} all {count:,} files {place} {data.path}; leave some for training",
            *(f"data.{key}" for key in keys),
            "data.path",
        )


def _arrays(config: Config) -> Iterator[Problem]:
    counts = array_counts(config.data)
    if counts is None:
        return
    own = [key for key in ("validation", "test") if key not in counts]
    left = counts["train"] - sum(getattr(config.data, key) for key in own)
    keys = (*(f"data.{key}" for key in own), "data.path")
    if left < 1:
        yield problem(f"takes all {counts['train']:,} training inputs; leave some for training", *keys)
    else:
        yield from _calibration(config, left, *keys)
    if "validation" not in counts:
        yield from _device(config)


def _counts(path: str | None) -> IdxCounts | None:
    if path is None:
        return FASHION_MNIST
    return None if folder_problem(path) else idx_counts(Path(path))


def _calibration(config: Config, left: int, *keys: str) -> Iterator[Problem]:
    if config.data.unlabeled.path is not None and config.data.unlabeled.calibration:
        return
    if config.data.calibration > left:
        yield problem(
            f"must be at most {left:,}, the number of training pictures that are left", "data.calibration", *keys
        )


def _device(config: Config) -> Iterator[Problem]:
    validation = config.data.validation
    for device in devices(config):
        if device.section.pictures > validation:
            yield Problem(
                (device.keys("pictures"), ("data", "validation"), ("data", "source")),
                f"must be at most {validation:,}, the number of validation pictures",
            )


def missing_idx(folder: Path) -> list[str]:
    """Return the names of the idx files that are missing in the folder, both as they are and with .gz."""
    names = [pattern.format(prefix) for prefix in PREFIXES for pattern in (IMAGES, LABELS)]
    return [name for name in names if _packed_or_not(folder, name) is None]


def idx_counts(folder: Path) -> IdxCounts | None:
    """Return the numbers in the headers of the idx files; None if they cannot be read, which the job reports."""
    shapes = [_shape(folder, IMAGES.format(prefix)) for prefix in PREFIXES]
    if None in shapes:
        return None
    (train, *sides), (test, *others) = (shape for shape in shapes if shape is not None)
    return IdxCounts(train, test, PictureSize(*map(max, sides, others)))


def _packed_or_not(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _shape(folder: Path, name: str) -> tuple[int, int, int] | None:
    path = _packed_or_not(folder, name)
    if path is None:
        return None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, *shape = struct.unpack(">4s3I", file.read(16))
    except (OSError, EOFError, zlib.error, struct.error):
        return None
    return (shape[0], shape[1], shape[2]) if magic == b"\0\0\x08\x03" else None
