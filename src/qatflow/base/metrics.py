"""Top-1, top-5 and the confusion matrix, from outputs and labels; what a model loses against another, and whether."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["within", "above", "undecided"]
Z = 1.96
"""Standard deviations on each side of the middle within which 95 % of a normal distribution lie."""
MOST_PICTURES = 10**9


@dataclass(frozen=True)
class Accuracy:
    """Shares of 1 over `pictures` pictures; top-5 counts a picture whose label is among the five largest outputs."""

    pictures: int
    top1: float
    top5: float


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> Accuracy:
    """Return the accuracy of outputs (float [n, classes]) against labels (int [n]).

    Equal outputs are ranked by class number, as argmax does.
    """
    best = np.argsort(-outputs.astype(np.float64), axis=1, kind="stable")[:, :5]
    hits = best == np.asarray(labels)[:, None]
    return Accuracy(len(labels), float(hits[:, 0].mean()), float(hits.any(axis=1).mean()))


def confusion(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the counts [label, predicted class] (int64 [classes, classes])."""
    classes = outputs.shape[1]
    flat = np.asarray(labels) * classes + outputs.argmax(axis=1)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class Drop:
    """What one model loses against another on the same pictures.

    Attributes:
        pictures: number of pictures.
        reference_top1: share of 1 of the model it is compared with.
        top1: share of 1 of the model itself.
        points: the loss of top-1, in percentage points; negative for a gain.
        low: lower end of its 95 % interval.
        high: upper end.
        lost: pictures that the other model alone gets right.
        won: pictures that the model itself alone gets right.
    """

    pictures: int
    reference_top1: float
    top1: float
    points: float
    low: float
    high: float
    lost: int
    won: int

    def text(self, model: str = "int8", reference: str = "float") -> str:
        """Return the drop in words."""
        gain = self.points < 0
        return (
            f"{model} {'gains' if gain else 'loses'} {abs(self.points):.2f} points of top-1 against {reference} "
            f"({100 * self.reference_top1:.2f} % to {100 * self.top1:.2f} % on {self.pictures} validation pictures; "
            f"95 % interval of the loss {self.low:.2f} to {self.high:.2f})"
        )


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, of which `right` of `count` were seen; shares of 1.

    Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209), which stays within 0…1 and holds near its ends.
    """
    z, share = Z, right / count
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float((middle - half) / (1 + z**2 / count)), float((middle + half) / (1 + z**2 / count))


def paired_drop(reference: np.ndarray, outputs: np.ndarray, labels: np.ndarray) -> Drop:
    """Return the loss of top-1 from `reference` to `outputs` (both [n, classes]; labels int [n]).

    The interval is that of a paired difference (see `paired_interval`), which is narrower than that of two independent
    shares, since both models mostly err on the same pictures.
    """
    reference_right, right = (found.argmax(axis=1) == labels for found in (reference, outputs))
    lost, won = int((reference_right & ~right).sum()), int((~reference_right & right).sum())
    low, high = paired_interval(lost, won, len(labels))
    points = 100 * (lost - won) / len(labels)
    return Drop(len(labels), float(reference_right.mean()), float(right.mean()), points, low, high, lost, won)


def paired_interval(lost: float, won: float, pictures: float) -> tuple[float, float]:
    """Return the 95 % interval of a loss in percentage points, of pictures that one of two models alone gets right.

    Agresti and Min 2005 (Statistics in Medicine 24:729): McNemar's variance of the difference of paired shares, with
    half a picture added to each of the four counts (both right, one right, the other, none). So two models that agree
    on 20 pictures are not taken for equal ones: without it their interval has no width at all.

        N = n + 2,  d = (lost − won) / N,  d ± 1.96 · √((lost + won + 1 − (lost − won)² / N) / N²)
    """
    count = pictures + 2
    difference = (lost - won) / count
    half = Z * math.sqrt(lost + won + 1 - (lost - won) ** 2 / count) / count
    return 100 * (difference - half), 100 * (difference + half)


def verdict(drop: Drop, limit: float) -> Verdict:
    """Return whether a loss keeps to a limit in percentage points: the one rule of all that compares two models.

    A loss is `above` the limit where it surely is (the lower end of its paired 95 % interval is above the limit),
    `within` where it surely is not above (the upper end is at most the limit), and `undecided` in between.
    """
    return _verdict(drop.low, drop.high, limit)


def more_pictures(drop: Drop, limit: float) -> int | None:
    """Return how many more pictures would decide, to two digits; None where no number would, or more than 10⁹.

    That is the least number n + more at which the interval of `paired_interval` no longer holds the limit, where the
    models differ on as large a share of the pictures as here. Its half width goes with 1 / √n, so that this is about
    n · (half width / |loss − limit|)² − n.
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
