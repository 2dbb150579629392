"""The figures of each epoch, as text, CSV and TensorBoard events."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qatflow.base.files import cannot_write, full_disk, write_text
from qatflow.base.measure import ACCURACY, Measure


@dataclass(frozen=True)
class EpochFigures:
    """The figures of one epoch.

    A loss is the mean cross entropy, for sigmoids the binary one summed over the classes. top-1 and top-5 are shares
    of 1. Validation figures are None where nothing was evaluated.
    """

    epoch: int
    phase: str
    learning_rate: float
    train_loss: float
    train_top1: float
    train_top5: float
    validation_loss: float | None
    validation_top1: float | None
    validation_top5: float | None

    def text(self, measure: Measure = ACCURACY) -> str:
        """Return one line for the log."""
        line = (
            f"epoch {self.epoch} ({self.phase}): training loss {self.train_loss:.4f}, "
            f"{_shares(self.train_top1, self.train_top5, measure)}"
        )
        if self.validation_loss is not None:
            shares = _shares(self.validation_top1, self.validation_top5, measure)
            line += f"; validation loss {self.validation_loss:.4f}, {shares}"
        return line

    def values(self, measure: Measure = ACCURACY) -> dict[str, Any]:
        """Return the figures by name: without labels, agreement with float in place of top-1 and top-5."""
        values = asdict(self)
        if measure.is_accuracy:
            return values
        return {
            name.replace("top1", measure.key): value for name, value in values.items() if not name.endswith("_top5")
        }


def _shares(top1: float | None, top5: float | None, measure: Measure) -> str:
    best5 = f", {measure.best5} {top5:.4f}" if measure.best5 else ""
    return f"{measure.name} {top1:.4f}{best5}"


def write_csv(history: Sequence[EpochFigures], path: Path, measure: Measure = ACCURACY) -> None:
    """Write one line per epoch; `measure` is that of the data."""
    names = EpochFigures(*([None] * len(fields(EpochFigures)))).values(measure)  # type: ignore[arg-type]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(figures.values(measure) for figures in history)
    write_text(path, buffer.getvalue())


def write_events(figures: EpochFigures, folder: Path, measure: Measure = ACCURACY) -> None:
    """Add an epoch to the TensorBoard events in `folder`.

    Raises:
        UserError: they cannot be written, or the disk is full.
    """
    import tensorflow as tf

    try:
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=figures.epoch):
            for name, value in figures.values(measure).items():
                if isinstance(value, float):
                    tf.summary.scalar(name.replace("_", "/", 1), value)
        writer.close()
    except tf.errors.OpError as error:  # TensorFlow reports a full disk as a ResourceExhaustedError
        full = full_disk(str(error))
        raise cannot_write(folder, full or str(error.message), full=full is not None) from error
