"""The figures of each epoch, as text, CSV and TensorBoard events."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from qatflow.base.files import cannot_write, full_disk, write_text


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

    def text(self) -> str:
        """Return one line for the log."""
        line = (
            f"epoch {self.epoch} ({self.phase}): training loss {self.train_loss:.4f}, "
            f"top-1 {self.train_top1:.4f}, top-5 {self.train_top5:.4f}"
        )
        if self.validation_loss is not None:
            line += (
                f"; validation loss {self.validation_loss:.4f}, "
                f"top-1 {self.validation_top1:.4f}, top-5 {self.validation_top5:.4f}"
            )
        return line


def write_csv(history: Sequence[EpochFigures], path: Path) -> None:
    """Write one line per epoch."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(EpochFigures)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(figures) for figures in history)
    write_text(path, buffer.getvalue())


def write_events(figures: EpochFigures, folder: Path) -> None:
    """Add an epoch to the TensorBoard events in `folder`.

    Raises:
        UserError: they cannot be written, or the disk is full.
    """
    import tensorflow as tf

    try:
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=figures.epoch):
            for name, value in asdict(figures).items():
                if isinstance(value, float):
                    tf.summary.scalar(name.replace("_", "/", 1), value)
        writer.close()
    except tf.errors.OpError as error:  # TensorFlow reports a full disk as a ResourceExhaustedError
        full = full_disk(str(error))
        raise cannot_write(folder, full or str(error.message), full=full is not None) from error
