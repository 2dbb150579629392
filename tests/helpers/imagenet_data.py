"""The verification pictures as a prepared data set of 1000 classes; see the README beside them."""

import csv
from pathlib import Path

import pytest

from helpers.places import VERIFICATION_DATA
from qatflow.base.picture_size import square
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing

WEIGHTS = VERIFICATION_DATA / "weights" / "mobilenet_7_5_224_tf.h5"
OFFICIAL = VERIFICATION_DATA / "tflite" / "mobilenet_v1_1.0_224_quant_reassembled.tflite"
MARKS = [
    pytest.mark.imagenet,
    pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"the verification data are not here: {WEIGHTS}"),
]
TEST = 60


def _listed(name: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in (VERIFICATION_DATA / name / "labels.txt").read_text().splitlines()]
    return [(f"{name}/{file}", int(label)) for file, label in lines]


def _write_list(folder: Path, validation: int | None) -> Path:
    """Write a list for the source csv: 200 pictures to train on; those of nips17, the first for the test."""
    folder.mkdir(parents=True)
    for name in ("imagenet_sample", "nips17"):
        (folder / name).symlink_to(VERIFICATION_DATA / name)
    held_out = _listed("nips17")
    parts = {
        "train": _listed("imagenet_sample")[::5],
        "validation": held_out[TEST:][:validation],
        "test": held_out[:TEST],
    }
    names = (VERIFICATION_DATA / "tflite" / "imagenet_labels.txt").read_text().splitlines()[1:]
    (folder / "labels.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(names)))
    with (folder / "pictures.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "split"))
        rows.writerows((path, label, split) for split, part in parts.items() for path, label in part)
    return folder / "pictures.csv"


def prepared(folder: Path, mean: float = 127.5, std: float = 127.5, validation: int | None = None) -> Path:
    """Prepare them, full frame, 224 × 224, with at most so many validation pictures; return the manifest."""
    spec = Preprocessing(square(224), "stretch", 3, (mean,) * 3, (std,) * 3)
    listed = _write_list(folder.with_name(f"{folder.name}_list"), validation)
    settings = Settings("imagenet", "csv", listed, 1, 1, 100, 1, 0.0, 1, spec)
    prepare(settings, folder)
    return folder / "manifest.json"
