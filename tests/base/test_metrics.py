"""Accuracy and confusion against counting by hand."""

import numpy as np
import pytest

from qatflow.base.metrics import (
    Drop,
    accuracy,
    confusion,
    confusion_matrix,
    more_pictures,
    paired_drop,
    paired_interval,
    ranking,
    verdict,
)


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
    found = confusion(outputs.argmax(axis=1), labels)
    np.testing.assert_array_equal(confusion_matrix(found, 4), expected)
    assert {label: guesses[label] for label, guesses in found.items()} == {str(i): expected[i, i] for i in range(4)}


def test_of_many_classes_the_confusion_has_the_cells_that_are_not_zero():
    assert confusion(np.asarray([7, 7, 999]), np.asarray([7, 7, 7])) == {"7": {"7": 2, "999": 1}}


def test_a_ranking_has_the_five_best_the_best_first_and_of_equals_the_lower_class_as_argmax_has():
    outputs = np.random.default_rng(0).integers(-128, 128, (300, 40)).astype(np.int8)  # many are equal
    found = ranking(outputs)
    assert found.shape == (300, 5) and np.array_equal(found[:, 0], outputs.argmax(axis=1))
    for row, best in zip(outputs.tolist(), found.tolist(), strict=True):
        assert best == sorted(range(40), key=lambda number: (-row[number], number))[:5]


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
    found = paired_drop(outputs["float"].argmax(axis=1), outputs["int8"].argmax(axis=1), labels)
    assert (found.reference_top1, found.top1) == (0.975, 0.935)
    assert abs(found.points - 4.0) < 1e-9
    assert (found.lost, found.won) == (26, 10)
    # McNemar's variance of the difference of paired shares, (b + c − (b − c)² / n) / n², with b, c + ½ and n + 2
    variance = (26.5 + 10.5 - (26.5 - 10.5) ** 2 / 402) / 402**2
    assert abs((found.high - found.low) / 2 - 196 * variance**0.5) < 1e-9
    assert abs((found.high + found.low) / 2 - 1600 / 402) < 1e-9


def drop(lost: int, won: int, pictures: int) -> Drop:
    """The drop of models that both get the other pictures right."""
    right = np.ones((2, pictures), int)
    right[1, :lost] = right[0, pictures - won :] = 0
    return paired_drop(right[0], right[1], np.ones(pictures, int))


def test_the_interval_holds_the_true_loss_about_as_often_as_it_says():
    rng, held, rounds = np.random.default_rng(5), 0, 4000
    for lost, won, _ in rng.multinomial(60, (0.08, 0.03, 0.89), rounds):
        low, high = paired_interval(int(lost), int(won), 60)
        held += low <= 5.0 <= high
    assert 0.94 < held / rounds < 0.98


@pytest.mark.parametrize(
    ("lost", "won", "pictures", "limit", "expected"),
    [
        (19, 14, 300, 1.0, "undecided"),  # 1.67 points, which may be chance
        (1900, 1400, 30000, 1.0, "above"),  # the same on a hundred times as many
        (30, 0, 300, 1.0, "above"),
        (0, 0, 5000, 1.0, "within"),
        (0, 0, 20, 1.0, "undecided"),  # they agree on 20 pictures
        (0, 30, 300, 0.0, "within"),
        (1, 0, 1, 1.0, "undecided"),
        (2, 0, 2, 1.0, "undecided"),
    ],
)
def test_the_rule_of_a_limit(lost, won, pictures, limit, expected):
    assert verdict(drop(lost, won, pictures), limit) == expected


@pytest.mark.parametrize(("lost", "won", "pictures", "limit"), [(19, 14, 300, 1.0), (2, 2, 150, 1.0), (0, 0, 20, 1.0)])
def test_so_many_more_pictures_with_the_same_differences_decide(lost, won, pictures, limit):
    more = more_pictures(drop(lost, won, pictures), limit)
    factor = 1 + more / pictures

    def undecided(factor: float) -> bool:
        low, high = paired_interval(lost * factor, won * factor, pictures * factor)
        return low <= limit < high

    assert undecided(1) and not undecided(factor) and undecided(1 + 0.88 * more / pictures)


def test_where_the_loss_is_the_limit_no_number_of_pictures_decides():
    assert more_pictures(drop(0, 0, 500), 0.0) is None
    assert more_pictures(drop(5, 0, 500), 1.0) is None
