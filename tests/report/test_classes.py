"""Accuracy by class with intervals, the most confused pairs, and pictures of a thousand classes."""

import numpy as np
import pytest
from scipy.stats import binomtest

from qatflow.base.metrics import confusion
from qatflow.report.classes import ClassFigures, ConfusedPair, class_figures, confused_pairs
from qatflow.report.drawing.confusion import confusion_picture
from qatflow.report.pages.sections import chosen_classes


def evaluation(predicted: np.ndarray, labels: np.ndarray, classes: int, by_float: np.ndarray | None = None) -> dict:
    models = {"qat": {"confusion": confusion(predicted, labels)}}
    if by_float is not None:
        models["float"] = {"confusion": confusion(by_float, labels)}
    return {"labels": [f"class {number}" for number in range(classes)], "models": models}


@pytest.fixture
def thousand() -> dict:
    """Ten pictures of each of 1,000 classes; all of class 7 are taken for 500, six of class 9 for two others."""
    labels = np.repeat(np.arange(1000), 10)
    predicted, by_float = labels.copy(), labels.copy()
    predicted[70:80] = 500
    predicted[90:96] = [3, 3, 3, 3, 2, 2]
    by_float[70:73] = 500
    return evaluation(predicted, labels, 1000, by_float)


def test_each_class_has_its_share_its_interval_and_what_it_is_taken_for(thousand: dict):
    found = class_figures(thousand, "qat")
    assert [one.label for one in found] == thousand["labels"]
    low, high = binomtest(4, 10).proportion_ci(0.95, method="wilson")
    nine = found[9]
    assert (nine.low, nine.high) == pytest.approx((low, high), abs=2e-5)
    assert nine == ClassFigures("class 9", 10, 0.4, nine.low, nine.high, 1.0, "class 3", 4)
    assert (found[7].right, found[7].float_right, found[7].taken) == (0.0, 0.7, 10)
    assert (found[0].right, found[0].taken_for) == (1.0, None)


def test_the_most_confused_pairs_come_first_with_the_pictures_that_float_confuses_too(thousand: dict):
    assert confused_pairs(thousand, "qat") == (
        ConfusedPair("class 7", "class 500", 10, 1.0, 3),
        ConfusedPair("class 9", "class 3", 4, 0.4, 0),
        ConfusedPair("class 9", "class 2", 2, 0.2, 0),
    )


def test_of_many_classes_the_page_has_the_worst_and_those_that_lose_most(thousand: dict):
    chosen = chosen_classes(class_figures(thousand, "qat"))
    assert [one.label for one in chosen[:2]] == ["class 7", "class 9"] and len(chosen) <= 60


def test_the_picture_of_a_thousand_classes_stays_small_and_one_of_thirty_has_all_counts():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000), 25)
    many = evaluation(rng.integers(0, 1000, 25_000), labels, 1000)
    picture = confusion_picture(many["models"]["qat"]["confusion"], many["labels"], confused_pairs(many, "qat"))
    assert len(picture) < 20_000 and picture.count("→") == 20
    labels = np.repeat(np.arange(30), 9)
    predicted = rng.integers(0, 30, len(labels))
    few = evaluation(predicted, labels, 30)
    picture = confusion_picture(few["models"]["qat"]["confusion"], few["labels"], ())
    cells = len(set(zip(labels.tolist(), predicted.tolist(), strict=True)))
    assert picture.count('class="count') == cells and picture.count("<rect") == 900
    assert "class 29" in picture
