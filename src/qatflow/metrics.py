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
