"""Names of the sources' files, and which of them determine the pictures of a source; imports nothing heavy."""

import importlib.util
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

NAMES = "labels.txt"  # class names, one per line, in the order of their numbers
LISTS = ("train_list.txt", "val_list.txt", "test_list.txt")

TRAIN, VALIDATION = "ILSVRC2012_img_train", "ILSVRC2012_img_val"
KIT = (".", "ILSVRC2012_devkit_t12/data", "devkit/data")  # folders that may hold the development kit's files
NUMBERS = "ILSVRC2012_validation_ground_truth.txt"  # one ILSVRC2012_ID per line
WORDNET_IDS = "imagenet_2012_validation_synset_labels.txt"  # the same as WordNet ids, from TensorFlow's scripts
META, MAP = "meta.mat", "map_clsloc.txt"  # WordNet id of each ILSVRC2012_ID, in the kits of 2012 and since 2014

# of the source `arrays`: split, and the names of its arrays of inputs and labels (x and y as in Keras' data sets)
ARRAYS: tuple[tuple[Split, str, str], ...] = (
    ("train", "inputs", "labels"), ("train", "train_inputs", "train_labels"), ("train", "x_train", "y_train"),
    ("validation", "val_inputs", "val_labels"), ("validation", "x_val", "y_val"),
    ("test", "test_inputs", "test_labels"), ("test", "x_test", "y_test"),
)  # fmt: skip
UNLABELED_ARRAY = "inputs"
WITHOUT_LABELS = "unlabeled"
"""The source whose pictures have no labels at all."""
UNLABELED = -1
"""The label of what has none."""

TFDS = "tfds:"
TFDS_MISSING = "needs TensorFlow Datasets, which is not installed: `.venv/bin/pip install tensorflow-datasets`"


def tfds_installed() -> bool:
    """Return whether TensorFlow Datasets is installed, without loading it."""
    return importlib.util.find_spec("tensorflow_datasets") is not None


def named_files(source: str, path: str | None) -> list[str]:
    """Return the few existing files, besides the pictures, whose content determines the pictures of a source.

    Args:
        source: as data.source.
        path: as data.path.
    """
    if path is None or source.startswith(TFDS):
        return []
    root = Path(path)
    possible: list[Path] = []
    if source in ("folder", "csv"):
        possible = [root] if source == "folder" else [root, root.parent / NAMES]
    elif source == WITHOUT_LABELS:
        possible = [root, root / NAMES]
    elif source == "arrays":
        files = [root / f"{name}.npy" for _, *names in ARRAYS for name in names]
        possible = [root] if root.suffix == ".npz" else [*files, root / NAMES]
    elif source == "lists":
        possible = [root / name for name in (*LISTS, NAMES)]
    elif source == "imagenet":
        possible = [root / folder / name for folder in KIT for name in (NUMBERS, WORDNET_IDS, META, MAP)]
    return [str(file) for file in possible if file.is_file()]
