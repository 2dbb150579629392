"""The trainings, epoch by epoch, from their history.csv."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.base.sums import read_checked


@dataclass(frozen=True)
class Epoch:
    """One epoch, as in `training.history.EpochFigures`: losses are cross entropies, top-1 is in 0…1.

    Without labels there is no top-1, but the share of answers that are the float model's, and the loss is that with its
    answers.
    """

    epoch: int
    phase: str
    learning_rate: float
    train_loss: float
    train_top1: float | None
    validation_loss: float | None
    validation_top1: float | None
    train_float_agreement: float | None = None
    validation_float_agreement: float | None = None

    @property
    def train_share(self) -> float | None:
        """Top-1 or agreement of training."""
        return self.train_top1 if self.train_float_agreement is None else self.train_float_agreement

    @property
    def validation_share(self) -> float | None:
        """Top-1 or agreement of validation."""
        return self.validation_top1 if self.validation_float_agreement is None else self.validation_float_agreement


@dataclass(frozen=True)
class Curve:
    """A training.

    Attributes:
        name: `float`, or what the model that it trains is called: `int8`, `W8A16`.
        epochs: in order.
        exported_epoch: the epoch that is exported; None if it is not known.
    """

    name: str
    epochs: tuple[Epoch, ...]
    exported_epoch: int | None


def curves(
    histories: Mapping[str, Path], exported: Mapping[str, int | None], quantised: str = "int8"
) -> tuple[Curve, ...]:
    """Return the trainings that have epochs.

    Args:
        histories: history.csv by name of the training, `float` or `int8`.
        exported: the exported epoch, by the same name.
        quantised: what the quantised model is called, for the names of its training and its phase.

    Raises:
        UserError: a file has changed since it was written.
    """
    names = {"int8": quantised}
    read = (Curve(names.get(name, name), _epochs(path, names), exported.get(name)) for name, path in histories.items())
    return tuple(curve for curve in read if curve.epochs)


def read_curves(summary: Mapping[str, Any]) -> tuple[Curve, ...]:
    """Return the trainings in the content of a summary.json."""
    return tuple(
        Curve(one["name"], tuple(Epoch(**epoch) for epoch in one["epochs"]), one["exported_epoch"])
        for one in summary["curves"]
    )


def _epochs(path: Path, names: Mapping[str, str]) -> tuple[Epoch, ...]:
    lines = csv.DictReader(read_checked(path).decode().splitlines())
    return tuple(
        Epoch(
            epoch=int(line["epoch"]),
            phase=names.get(line["phase"], line["phase"]),
            learning_rate=float(line["learning_rate"]),
            train_loss=float(line["train_loss"]),
            train_top1=_number(line.get("train_top1", "")),
            validation_loss=_number(line["validation_loss"]),
            validation_top1=_number(line.get("validation_top1", "")),
            train_float_agreement=_number(line.get("train_float_agreement", "")),
            validation_float_agreement=_number(line.get("validation_float_agreement", "")),
        )
        for line in lines
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
