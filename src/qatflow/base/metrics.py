"""Top-1, top-5 and confusion from outputs and labels; the accuracy drop between models, and a verdict."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from qatflow.base.measure import ACCURACY, Measure

Verdict = Literal["within", "above", "undecided"]
Z = 1.96
"""95 % of a normal distribution lie within this many standard deviations of the mean."""
MOST_PICTURES = 10**9
TOP = 5


@dataclass(frozen=True)
class Accuracy:
    """Accuracy in 0…1 over `pictures` pictures; for top-5 the label must be among the five largest outputs."""

    pictures: int
    top1: float
    top5: float


def ranking(outputs: np.ndarray) -> np.ndarray:
    """Return the classes with the five largest outputs of each picture, the best first: int32 [n, 5].

    Equal outputs are ranked by class number, as in argmax. Fewer than five classes are all ranked.

    Args:
        outputs: [n, classes], integers or floats.
    """
    return np.argsort(-outputs.astype(np.float64), axis=1, kind="stable")[:, :TOP].astype(np.int32)


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Return the accuracy of outputs ([n, classes]) against labels (int [n])."""
    return ranked_accuracy(ranking(outputs), labels)


def ranked_accuracy(ranked: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Return the accuracy of what `ranking` returned (int [n, at most 5]) against labels (int [n])."""
    hits = ranked == np.asarray(labels)[:, None]
    return Accuracy(len(labels), float(hits[:, 0].mean()), float(hits.any(axis=1).mean()))


def confusion(predicted: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, int]]:
    """Return how many pictures of each label got each prediction: {label: {predicted class: pictures}}, without zeros.

    The form of evaluation.json. With 1,000 classes almost all of the matrix is zero, and here there are never more
    entries than pictures.

    Args:
        predicted: class of each picture, int [n].
        labels: int [n].
    """
    cells, counts = np.unique(np.stack([labels, predicted], axis=1).astype(np.int64), axis=0, return_counts=True)
    table: dict[str, dict[str, int]] = {}
    for (label, guess), count in zip(cells.tolist(), counts.tolist(), strict=True):
        table.setdefault(str(label), {})[str(guess)] = count
    return table


def confusion_matrix(table: Mapping[str, Mapping[str, int]], classes: int) -> np.ndarray:
    """Return the counts of what `confusion` returned: int64 [label, predicted class]."""
    matrix = np.zeros((classes, classes), np.int64)
    for label, guesses in table.items():
        for guess, count in guesses.items():
            matrix[int(label), int(guess)] = count
    return matrix


@dataclass(frozen=True)
class Drop:
    """Accuracy drop of one model against another on the same pictures.

    Attributes:
        pictures: number of pictures.
        reference_top1: top-1 of the reference model, in 0…1.
        top1: top-1 of the model, in 0…1.
        points: drop of top-1 in percentage points; negative for a gain.
        low: lower end of its 95 % interval.
        high: upper end.
        lost: number of pictures that only the reference gets right.
        won: number of pictures that only the model gets right.
    """

    pictures: int
    reference_top1: float
    top1: float
    points: float
    low: float
    high: float
    lost: int
    won: int

    def figures(self, measure: Measure = ACCURACY) -> dict[str, Any]:
        """Return the drop as JSON: without labels under other keys, and without the float model's own share, a 1."""
        values = asdict(self)
        if measure.is_accuracy:
            return values
        del values["reference_top1"]
        return {measure.key if key == "top1" else key: value for key, value in values.items()}

    def text(self, model: str = "int8", reference: str = "float", measure: Measure = ACCURACY) -> str:
        """Return the drop in words."""
        if not measure.is_accuracy and reference == "float":
            return (
                f"{model} agrees with float on {100 * self.top1:.2f} % of {self.pictures} validation pictures and "
                f"differs on {self.points:.2f} % (95 % interval {max(self.low, 0.0):.2f} to {self.high:.2f})"
            )
        gain = self.points < 0
        return (
            f"{model} {'gains' if gain else 'loses'} {abs(self.points):.2f} points of {measure.name} against "
            f"{reference} "
            f"({100 * self.reference_top1:.2f} % to {100 * self.top1:.2f} % on {self.pictures} validation pictures; "
            f"95 % interval of the loss {self.low:.2f} to {self.high:.2f})"
        )


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval, in 0…1, of a proportion observed as `right` of `count`.

    This is Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209), which stays within 0…1 and is also valid
    near the ends.
    """
    z, share = Z, right / count
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float((middle - half) / (1 + z**2 / count)), float((middle + half) / (1 + z**2 / count))


def paired_drop(reference: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> Drop:
    """Return the drop of top-1 from a reference model's predicted classes to a model's (both int [n]; labels int [n]).

    The interval is that of a paired difference (see `paired_interval`). It is narrower than that of two independent
    proportions, since both models mostly err on the same pictures.
    """
    reference_right, right = (np.asarray(classes) == labels for classes in (reference, predicted))
    lost, won = int((reference_right & ~right).sum()), int((~reference_right & right).sum())
    low, high = paired_interval(lost, won, len(labels))
    points = 100 * (lost - won) / len(labels)
    return Drop(len(labels), float(reference_right.mean()), float(right.mean()), points, low, high, lost, won)


def paired_interval(lost: float, won: float, pictures: float) -> tuple[float, float]:
    """Return the 95 % interval of a drop in percentage points, from the pictures that only one model gets right.

    Agresti and Min 2005 (Statistics in Medicine 24:729): McNemar's variance of the difference of paired proportions,
    with half a picture added to each of the four counts (both right, only one, only the other, none). Without that, two
    models that agree on 20 pictures would have an interval of width 0, as if they were equal.

        N = n + 2,  d = (lost − won) / N,  d ± 1.96 · √((lost + won + 1 − (lost − won)² / N) / N²)
    """
    count = pictures + 2
    difference = (lost - won) / count
    half = Z * math.sqrt(lost + won + 1 - (lost - won) ** 2 / count) / count
    return 100 * (difference - half), 100 * (difference + half)


def unpaired_interval(reference_right: int, reference_count: int, right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a drop in percentage points between models measured on different pictures.

    Newcombe 1998 (Statistics in Medicine 17:873), method 10: from the ends l, u of Wilson's intervals of both shares p,

        d = p₁ − p₂,  d − √((p₁ − l₁)² + (u₂ − p₂)²) … d + √((u₁ − p₁)² + (p₂ − l₂)²)
    """
    first, second = reference_right / reference_count, right / count
    (low, high), (other_low, other_high) = wilson(reference_right, reference_count), wilson(right, count)
    difference = first - second
    below, above = math.hypot(first - low, other_high - second), math.hypot(high - first, second - other_low)
    return 100 * (difference - below), 100 * (difference + above)


def verdict(drop: Drop, limit: float) -> Verdict:
    """Return whether a drop stays within a limit in percentage points: the rule for every comparison of two models.

    A drop is `above` the limit if the lower end of its paired 95 % interval is above it, `within` if the upper end is
    at most the limit, and `undecided` in between.
    """
    return _verdict(drop.low, drop.high, limit)


def more_pictures(drop: Drop, limit: float) -> int | None:
    """Return how many more pictures would decide, to two digits; None if no number would, or more than 10⁹.

    This is the smallest number n + more at which the interval of `paired_interval` no longer contains the limit, if the
    models differ on the same share of the pictures as here. The half width shrinks with 1 / √n, so it is about
    n · (half width / |drop − limit|)² − n.
    """

    def decides(count: int) -> bool:
        ends = paired_interval(drop.lost * count / drop.pictures, drop.won * count / drop.pictures, count)
        return _verdict(*ends, limit) != "undecided"

    low, high = drop.pictures, 2 * drop.pictures
    while not decides(high):
        low, high = high, 2 * high
        if high > MOST_PICTURES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    more = high - drop.pictures
    step = 10 ** max(0, len(str(more)) - 2)
    return -(-more // step) * step


def _verdict(low: float, high: float, limit: float) -> Verdict:
    if low > limit:
        return "above"
    return "within" if high <= limit else "undecided"
