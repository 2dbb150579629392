"""Classes that a model knows worst, and the picture of a thousand of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from qatflow.base.metrics import confusion
from qatflow.report.classes import ClassFigures, worst_classes
from qatflow.report.pictures import _in_groups, confusion_picture


def evaluation(path: Path, predicted: np.ndarray, labels: np.ndarray, classes: int) -> Path:
    names = [f"class {number}" for number in range(classes)]
    models = {"qat": {"confusion": confusion(predicted, labels)}}
    path.write_text(json.dumps({"labels": names, "models": models}))
    return path


@pytest.fixture
def thousand(tmp_path: Path) -> Path:
    """Ten pictures of each of 1,000 classes; all of class 7 are taken for 500, six of class 9 for two others."""
    labels = np.repeat(np.arange(1000), 10)
    predicted = labels.copy()
    predicted[70:80] = 500
    predicted[90:96] = [3, 3, 3, 3, 2, 2]
    return evaluation(tmp_path / "evaluation.json", predicted, labels, 1000)


def test_the_classes_that_are_recognised_least_come_first_with_what_they_are_taken_for(thousand: Path):
    worst = worst_classes(thousand, "qat")
    assert len(worst) == 10
    assert worst[:2] == [
        ClassFigures("class 7", 10, 0.0, "class 500", 10), ClassFigures("class 9", 10, 0.4, "class 3", 4),
    ]  # fmt: skip
    assert worst[2] == ClassFigures("class 0", 10, 1.0, None, 0)


def test_few_classes_are_named_in_the_picture_instead(tmp_path: Path):
    labels = np.arange(30)
    assert worst_classes(evaluation(tmp_path / "evaluation.json", labels, labels, 30), "qat") == []


def test_a_thousand_classes_stay_small(tmp_path: Path):
    """25,000 pictures, each in a cell of its own: the most that ILSVRC2012 can give."""
    labels = np.repeat(np.arange(1000), 25)
    path = evaluation(tmp_path / "evaluation.json", np.random.default_rng(0).integers(0, 1000, 25_000), labels, 1000)
    confusion_picture(path, "qat", tmp_path / "confusion.svg")
    assert (tmp_path / "confusion.svg").stat().st_size < 300_000
    assert path.stat().st_size < 500_000  # a matrix would have a million numbers


def test_of_many_classes_neighbours_share_a_cell_and_no_picture_is_lost():
    counts = np.random.default_rng(0).integers(0, 9, (7, 7))
    groups = _in_groups(counts, 3)
    expected = [[counts[a : a + 3, b : b + 3].sum() for b in (0, 3, 6)] for a in (0, 3, 6)]
    assert np.array_equal(groups, expected) and np.array_equal(_in_groups(counts, 1), counts)
