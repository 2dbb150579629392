"""The verification pictures as a prepared data set of 1000 classes; see the README beside them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from qatflow.data.picture import Encoded, stored
from qatflow.data.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.sources.source import Picture, Rejected

FOLDER = Path(os.environ.get("QATFLOW_VERIFICATION_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
WEIGHTS = FOLDER / "weights" / "mobilenet_7_5_224_tf.h5"
OFFICIAL = FOLDER / "tflite" / "mobilenet_v1_1.0_224_quant_reassembled.tflite"
MARKS = [
    pytest.mark.imagenet,
    pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"the verification data are not here: {WEIGHTS}"),
]
TEST = 60


@dataclass(frozen=True)
class Pictures:
    """200 pictures to train on, and those of nips17: the first for the test split, the others for validation."""

    labels: tuple[str, ...]
    files: Sequence[Path]
    pictures: Sequence[Picture]
    origin: str = "verification data"
    licence: str = "see the README beside them"
    inputs: tuple[Path, ...] = ()
    rejected: Sequence[Rejected] = ()

    def encoded(self, index: int) -> Encoded:
        """Return a picture's own bytes."""
        return stored(self.files[index].read_bytes())


def _listed(folder: Path) -> list[tuple[Path, int]]:
    lines = [line.split() for line in (folder / "labels.txt").read_text().splitlines()]
    return [(folder / name, int(label)) for name, label in lines]


def _open(validation: int | None) -> Pictures:
    held_out = _listed(FOLDER / "nips17")
    parts = {
        "train": _listed(FOLDER / "imagenet_sample")[::5],
        "validation": held_out[TEST:][:validation],
        "test": held_out[:TEST],
    }
    every = [(file, Picture(file.name, label, split)) for split, part in parts.items() for file, label in part]
    names = (FOLDER / "tflite" / "imagenet_labels.txt").read_text().splitlines()[1:]
    return Pictures(tuple(f"{i} {name}" for i, name in enumerate(names)), *zip(*every, strict=True))


def prepared(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    mean: float = 127.5,
    std: float = 127.5,
    validation: int | None = None,
) -> Path:
    """Prepare them, full frame, 224 × 224, with at most so many validation pictures; return the manifest."""
    monkeypatch.setattr("qatflow.data.prepare.SOURCES", {"verification": lambda *_: _open(validation)})
    spec = Preprocessing(224, "stretch", 3, (mean,) * 3, (std,) * 3)
    settings = Settings("imagenet", "verification", None, 1, 1, 100, 1, 0.0, 1, spec)
    prepare(settings, folder)
    return folder / "manifest.json"
