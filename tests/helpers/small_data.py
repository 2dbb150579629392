"""A prepared data set for tests of training: scikit-learn's digits, 32×32."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers import shared
from qatflow.base.picture_size import square
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing

DIGITS = Settings(
    name="digits",
    source="digits",
    path=None,
    validation=197,
    test=360,
    calibration=25,
    shards=3,
    max_rejected=0.01,
    seed=1,
    preprocessing=Preprocessing(square(32), "pad", 1, (127.5,), (127.5,)),
)
"""Prepared in three shards, with splits that the ten classes do not divide evenly."""


def prepared_digits(folder: Path, **changes: Any) -> Manifest:
    """Prepare 1,257 training, 180 validation and 360 test pictures; `changes` are to these settings.

    What others had prepared with the same settings is copied, so that a test may write into its own.
    """
    spec = Preprocessing(size=square(32), resize="stretch", channels=1, mean=(127.5,), std=(127.5,))
    settings = replace(
        Settings(
            name="digits", source="digits", path=None, validation=180, test=360, calibration=60, shards=1,
            max_rejected=0.0, seed=1, preprocessing=spec,
        ),
        **changes,
    )  # fmt: skip
    key = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
    made = shared.once(f"digits-{key}", lambda place: prepare(settings, place / "data"))
    shutil.copytree(made / "data", folder, dirs_exist_ok=True)
    return read_manifest(folder / "manifest.json")
