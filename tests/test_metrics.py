"""Accuracy and confusion against counting by hand."""

import numpy as np

from qatflow.metrics import accuracy, confusion, paired_drop


def test_accuracy_counts_the_label_among_the_best():
    outputs = np.array([[9, 8, 7, 6, 5, 4], [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]], float)
    found = accuracy(outputs, np.array([0, 1, 5]))
    assert (found.pictures, found.top1, found.top5) == (3, 1 / 3, 2 / 3)


def test_equal_outputs_rank_by_class_number():
    found = accuracy(np.zeros((2, 6)), np.array([0, 5]))
    assert (found.top1, found.top5) == (0.5, 0.5)


def test_confusion_counts_label_against_prediction():
    random = np.random.default_rng(0)
    outputs, labels = random.normal(size=(200, 4)), random.integers(0, 4, 200)
    expected = np.zeros((4, 4), int)
    for row, label in zip(outputs, labels, strict=True):
        expected[label, int(np.argmax(row))] += 1
    np.testing.assert_array_equal(confusion(outputs, labels), expected)


def test_fewer_than_five_classes_are_all_among_the_best():
    scores = np.asarray([[0.1, 0.9, 0.0], [0.5, 0.2, 0.3], [0.2, 0.3, 0.5], [0.4, 0.4, 0.2]], np.float32)
    found = accuracy(scores, np.asarray([1, 2, 0, 1]))
    assert (found.top1, found.top5) == (0.25, 1.0)


def test_int8_outputs_rank_as_numbers():
    found = accuracy(np.asarray([[-128, 127, 0]], np.int8), np.asarray([1]))
    assert found.top1 == 1.0


def test_the_paired_drop_counts_pictures_that_only_one_model_gets_right():
    labels = np.zeros(400, int)
    outputs = {name: np.tile([1.0, 0.0], (400, 1)) for name in ("float", "int8")}
    outputs["float"][:10] = [0, 1]  # wrong in float alone: 10
    outputs["int8"][10:36] = [0, 1]  # wrong in int8 alone: 26
    found = paired_drop(outputs["float"], outputs["int8"], labels)
    assert (found.reference_top1, found.top1) == (0.975, 0.935)
    assert abs(found.points - 4.0) < 1e-9
    # McNemar's variance of the difference of paired shares: (b + c − (b − c)² / n) / n², here with n − 1
    variance = (26 + 10 - (26 - 10) ** 2 / 400) / (400 * 399)
    assert abs((found.high - found.low) / 2 - 196 * variance**0.5) < 1e-9
