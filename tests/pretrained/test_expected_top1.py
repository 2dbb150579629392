"""Weights far below their published top-1: the message names the preparation of the pictures that would fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qatflow.base.picture_size import square
from qatflow.data.manifest import Manifest
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import tensors

pytestmark = pytest.mark.tensorflow
NORMALISATIONS = {"−1…1": (127.5, 127.5), "0…1": (0.0, 255.0), "0…255": (0.0, 1.0)}


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Manifest:
    spec = Preprocessing(size=square(32), resize="stretch", channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)
    settings = Settings("digits", "digits", None, 180, 360, 60, 1, 0.0, 1, spec)
    return prepare(settings, tmp_path_factory.mktemp("data") / "digits")


def classifier(digits: Manifest, mean: float, std: float):
    """A classifier by least squares of waves over the brightness, which tells its own normalisation from others."""
    spec = replace(digits.preprocessing, mean=(mean,) * 3, std=(std,) * 3)
    pictures, labels = tensors(digits, "train", 600, spec)

    def waves(x: np.ndarray) -> np.ndarray:
        return np.sin((x[:, ::2, ::2, 0].reshape(len(x), -1).astype(np.float64) * std + mean) / 60)

    kernel = np.linalg.lstsq(waves(pictures), np.eye(10)[labels], rcond=1e-2)[0]
    return lambda x: waves(x) @ kernel


@pytest.mark.parametrize(("right", "wrong"), [("−1…1", "0…255"), ("−1…1", "0…1"), ("0…1", "−1…1")])
def test_the_normalisation_that_would_fit_is_named(digits, right, wrong):
    from qatflow.pretrained.expected import diagnosis

    mean, std = NORMALISATIONS[wrong]
    data = replace(digits, preprocessing=replace(digits.preprocessing, mean=(mean,) * 3, std=(std,) * 3))
    said = diagnosis(classifier(digits, *NORMALISATIONS[right]), data, 90.0)
    assert f"on 180 of them {right} (data.preprocessing.mean [{NORMALISATIONS[right][0]}" in said


def test_labels_that_are_one_off_are_named_and_else_none_is(digits):
    from qatflow.pretrained.expected import diagnosis

    good = classifier(digits, 0.0, 1.0)
    assert "labels 1 higher gives" in diagnosis(lambda x: np.roll(good(x), 1, axis=1), digits, 90.0)
    said = diagnosis(lambda x: good(x)[:, ::-1], digits, 90.0)
    assert "no common normalisation does better" in said and "the order of the labels" in said


def test_chance_is_allowed_for(digits, tmp_path: Path, monkeypatch):
    from qatflow.base.errors import UserError
    from qatflow.pretrained import expected

    monkeypatch.setattr(expected, "training_model", lambda *_, **__: type("Model", (), {"keras": None}))
    monkeypatch.setattr(expected, "evaluator", lambda _: lambda _: (0.0, 0.70, 0.9))
    monkeypatch.setattr(expected, "diagnosis", lambda *_: "look there")
    assert expected.check_expected(None, digits, 75.0, 0.0) == {"expected_top1": 75.0, "top1": 70.0}
    with pytest.raises(UserError, match=r"top-1 70\.0 % on the 180 validation pictures, and 78 % .* look there"):
        expected.check_expected(None, digits, 78.0, 1.0)
