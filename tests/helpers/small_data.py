"""A prepared data set for tests of training: scikit-learn's digits, 32×32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from qatflow.data.manifest import Manifest
from qatflow.data.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing


def prepared_digits(folder: Path, **changes: Any) -> Manifest:
    """Prepare 1,257 training, 180 validation and 360 test pictures; `changes` are to these settings."""
    spec = Preprocessing(size=32, resize="stretch", channels=1, mean=(127.5,), std=(127.5,))
    settings = Settings(
        name="digits", source="digits", path=None, validation=180, test=360, calibration=60, shards=1,
        max_rejected=0.0, seed=1, preprocessing=spec,
    )  # fmt: skip
    return prepare(replace(settings, **changes), folder)
