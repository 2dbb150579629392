"""`tfds:NAME`: a data set of TensorFlow Datasets; its pictures keep the bytes of their files, and are not decoded.

TensorFlow Datasets finds, downloads and describes the data set in a separate process, so that TensorFlow is not loaded
here. The records are then read directly from its TFRecord files.
"""

import argparse
import json
import subprocess
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.data import example, tfrecord
from qatflow.data.picture import Encoded, stored
from qatflow.data.sources.listing import Listing, Rejected
from qatflow.data.sources.source_files import TFDS, TFDS_MISSING, Split, tfds_installed

SPLIT_NAMES: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


class TfdsSource:
    """The pictures in a prepared data set's TFRecord files.

    Args:
        about: the result of `describe`.
        name: of the data set.

    Raises:
        UserError: a file is damaged, or a record has no picture or label.
    """

    array_shape: tuple[int, ...] | None = None

    def __init__(self, about: dict[str, Any], name: str) -> None:
        self.labels = tuple(about["labels"])
        self.origin = f"TensorFlow Datasets, {about['name']}"
        self.licence = about["licence"] or "not stated"
        self.inputs: tuple[Path, ...] = ()
        self.pictures = Listing()
        self.rejected: list[Rejected] = []
        self.warnings: tuple[str, ...] = ()
        self._picture_key = about["picture_key"]
        self._files: list[Path] = []
        self._file_of, self._offsets = array("H"), array("Q")
        for split, files in about["splits"].items():
            if split not in SPLIT_NAMES:
                self.rejected.append(Rejected(f"{split}/", "a split that is none of train, validation, test"))
                continue
            number = 0
            for file in map(Path, files):
                for offset in tfrecord.offsets(file):
                    label = self._label(tfrecord.read_at(file, int(offset)), about["label_key"], file, offset)
                    self.pictures.add(f"{split}/{number:08d}".encode(), label, SPLIT_NAMES[split])
                    self._file_of.append(len(self._files))
                    self._offsets.append(int(offset))
                    number += 1
                self._files.append(file)

    def encoded(self, index: int) -> Encoded:
        """Return one picture's original bytes, or the PNG it was converted to."""
        data = tfrecord.read_at(self._files[self._file_of[index]], self._offsets[index])
        return stored(example.features(data)[self._picture_key].bytes_list.value[0])

    def version(self, index: int) -> tuple[int, ...]:
        """Return size (bytes) and time (ns) of the file that holds the picture."""
        about = self._files[self._file_of[index]].stat()
        return about.st_size, about.st_mtime_ns

    def _label(self, data: bytes, key: str, file: Path, offset: int) -> int:
        try:
            features = example.features(data)
            label = features[key].int64_list.value[0]
            if (
                self._picture_key in features
                and features[self._picture_key].bytes_list.value
                and label < len(self.labels)
            ):
                return label
        except (IndexError, KeyError):
            pass
        raise UserError(f"{file}: the record at byte {offset} has no {self._picture_key!r} or no {key!r} in range")


def open_tfds(name: str, path: Path | None) -> TfdsSource:
    """Open a data set by its name, such as `cifar10` or `imagenette/320px:1.0.0`; it is downloaded if necessary.

    Args:
        name: its name in TensorFlow Datasets.
        path: its data_dir; None: the default.

    Raises:
        UserError: TensorFlow Datasets is not installed, has no such data set, or it has no labelled pictures.
    """
    if not tfds_installed():
        raise UserError(f"data.source: {TFDS}{name} {TFDS_MISSING}")
    command = [sys.executable, "-m", __name__, name, *([] if path is None else [str(path)])]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        about = json.loads(answer.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        raise UserError(f"data.source: TensorFlow Datasets ended with status {answer.returncode}, see above") from None
    if "error" in about:
        raise UserError(f"data.source: {TFDS}{name}: {about['error']}")
    return TfdsSource(about, name)


def describe(name: str, path: str | None) -> dict[str, Any]:
    """Prepare a data set and return where its records are and what they hold, as plain JSON values.

    Raises:
        UserError: it does not consist of pictures with one class each, or is not stored as TFRecord files.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=path)
    info = builder.info
    features, keys = info.features, info.supervised_keys
    if not keys or not isinstance(keys[0], str) or not isinstance(keys[1], str):
        raise UserError("the data set does not say which feature is the input and which the label")
    if not isinstance(features[keys[0]], tfds.features.Image) or not isinstance(
        features[keys[1]], tfds.features.ClassLabel
    ):
        raise UserError(f"{keys[0]!r} and {keys[1]!r} must be a picture and one class, but are not")
    builder.download_and_prepare()
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError("it is not stored as TFRecord files: prepare it again with file_format tfrecord")
    licence = getattr(builder.info.redistribution_info, "license", "") if builder.info.redistribution_info else ""
    return {
        "name": builder.info.full_name,
        "licence": licence,
        "labels": features[keys[1]].names,
        "picture_key": keys[0],
        "label_key": keys[1],
        "splits": {split: [str(file) for file in part.filepaths] for split, part in builder.info.splits.items()},
    }


def main(argv: Sequence[str]) -> None:
    """Print the result of `describe` as one line of JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name")
    parser.add_argument("path", nargs="?")
    arguments = parser.parse_args(argv)
    try:
        value = describe(arguments.name, arguments.path)
    except Exception as error:  # of any kind: it is the answer
        lines = str(error).strip().splitlines()
        value = {"error": f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"}
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
