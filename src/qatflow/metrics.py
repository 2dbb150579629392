"""Top-1, top-5 and the confusion matrix, from outputs and labels."""

from dataclasses import dataclass

import numpy as np


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
    """

    pictures: int
    reference_top1: float
    top1: float
    points: float
    low: float
    high: float

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
    z, share = 1.96, right / count
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return float((middle - half) / (1 + z**2 / count)), float((middle + half) / (1 + z**2 / count))


def paired_drop(reference: np.ndarray, outputs: np.ndarray, labels: np.ndarray) -> Drop:
    """Return the loss of top-1 from `reference` to `outputs` (both [n, classes]; labels int [n]).

    The interval is that of a paired difference: mean ± 1.96 · s / √n of (reference right − right) over the pictures,
    which is narrower than that of two independent shares, since both models mostly err on the same pictures.
    """
    right = [(outputs.argmax(axis=1) == labels).astype(np.float64) for outputs in (reference, outputs)]
    difference = 100 * (right[0] - right[1])
    points = float(difference.mean())
    half = float(1.96 * difference.std(ddof=1) / np.sqrt(len(labels))) if len(labels) > 1 else float("inf")
    return Drop(len(labels), float(right[0].mean()), float(right[1].mean()), points, points - half, points + half)
