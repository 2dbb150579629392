"""What the sources' files are called, and which of them tell what the pictures are; loads nothing."""

import importlib.util
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

NAMES = "labels.txt"  # names of the classes, a line each, in the order of their numbers
LISTS = ("train_list.txt", "val_list.txt", "test_list.txt")

TRAIN, VALIDATION = "ILSVRC2012_img_train", "ILSVRC2012_img_val"
KIT = (".", "ILSVRC2012_devkit_t12/data", "devkit/data")  # where what belongs to the development kit may lie
NUMBERS = "ILSVRC2012_validation_ground_truth.txt"  # an ILSVRC2012_ID a line
WORDNET_IDS = "imagenet_2012_validation_synset_labels.txt"  # the same as WordNet ids, as TensorFlow's scripts have it
META, MAP = "meta.mat", "map_clsloc.txt"  # which WordNet id has which ILSVRC2012_ID, of the kits of 2012 and from 2014

TFDS = "tfds:"
TFDS_MISSING = "needs TensorFlow Datasets, which is not installed: `.venv/bin/pip install tensorflow-datasets`"


def tfds_installed() -> bool:
    """Return whether TensorFlow Datasets is installed; it is not loaded for that."""
    return importlib.util.find_spec("tensorflow_datasets") is not None


def named_files(source: str, path: str | None) -> list[str]:
    """Return the few files there are whose content says what the pictures of a source are, besides the pictures.

    Args:
        source: as data.source.
        path: as data.path.
    """
    if path is None or source.startswith(TFDS):
        return []
    given = Path(path)
    wanted: list[Path] = []
    if source in ("folder", "csv"):
        wanted = [given] if source == "folder" else [given, given.parent / NAMES]
    elif source == "lists":
        wanted = [given / name for name in (*LISTS, NAMES)]
    elif source == "imagenet":
        wanted = [given / folder / name for folder in KIT for name in (NUMBERS, WORDNET_IDS, META, MAP)]
    return [str(file) for file in wanted if file.is_file()]
