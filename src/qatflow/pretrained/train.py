"""Trains float weights on the experiment's own data, and keeps those of the best epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.data.manifest import Manifest
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.training.history import EpochFigures
from qatflow.training.loop import Trainer
from qatflow.training.settings import TrainingSettings
from qatflow.training.strategy import Strategy, TrainingRun

START = -1
"""Stands for the state before the first epoch."""
FAR_ABOVE = 1.5
"""Factor to the loss at the start: a training whose first epoch ends above it seldom recovers."""


@dataclass(frozen=True)
class Trained:
    """The result of a float training.

    Attributes:
        graph: with the weights of the epoch that was best on validation.
        epoch: that epoch, counted from 0; None where the weights as they came are kept.
        history: figures of each epoch.
        messages: what the user should know: that no epoch was better than the initial weights.
    """

    graph: Graph
    epoch: int | None
    history: list[EpochFigures]
    messages: tuple[str, ...]


def train(
    start: Graph, data: Manifest, settings: TrainingSettings, folder: Path, *, trained: bool, complete: bool
) -> Trained:
    """Train a graph in float.

    Args:
        start: the graph with its initial weights.
        data: prepared pictures.
        settings: of the training.
        folder: work folder; training goes on from what is there.
        trained: whether the initial weights are trained already.
        complete: whether all of them are, with no new last layer: then they are kept if no epoch is better.
    """
    best = KeepBest(trained=trained, complete=complete)
    history = Trainer(start, data, settings, folder, strategies=[best]).run()
    which = "the weights as they came" if best.epoch == START else f"epoch {best.epoch}"
    print(f"best on validation: {which}, top-1 {best.top1:.4f}", flush=True)
    message = "no epoch of fine-tuning did better on validation than the weights as they came, which are kept"
    kept = best.epoch == START
    return Trained(best.graph(folder), None if kept else best.epoch, history, (message,) if kept else ())


class KeepBest(Strategy):
    """Saves the float graph whenever validation top-1 rises; of equal epochs the later one, which trained longer.

    Attributes:
        epoch: the best so far; START: the initial weights.
        top1: its validation top-1, as a share of 1; below 0 where there is none yet.
    """

    def __init__(self, *, trained: bool = False, complete: bool = True) -> None:
        """Set up the strategy.

        Args:
            trained: whether the initial weights are trained already: they are evaluated first, and a first epoch that
                ends far above their loss causes a warning.
            complete: whether they have no new layer, so that they count like an epoch.
        """
        self.epoch, self.top1 = START, -1.0
        self._trained, self._complete = trained, complete
        self._start_loss: float | None = None

    def on_compression_begin(self, trainer: TrainingRun) -> None:
        """Evaluate the initial weights, and save them if they count."""
        if not self._trained or (trainer.epoch, trainer.step) != (0, 0):
            return
        self._start_loss, top1, _ = trainer.evaluate()
        print(f"before training: validation loss {self._start_loss:.4f}, top-1 {top1:.4f}", flush=True)
        if self._complete:
            self.top1 = top1
            save(trainer.float_graph(), _folder(trainer.folder))

    def on_epoch_end(self, trainer: TrainingRun) -> None:
        """Save the graph if this epoch is the best so far."""
        figures = trainer.history[-1]
        if trainer.epoch == 0 and figures.validation_loss is not None:
            self._warn_of_ruin(figures.validation_loss, trainer)
        top1 = figures.validation_top1
        if top1 is not None and top1 >= self.top1:
            self.epoch, self.top1 = trainer.epoch, top1
            save(trainer.float_graph(), _folder(trainer.folder))

    def notes(self) -> Mapping[str, Any]:
        """Remember which epoch it was, and the loss at the start."""
        return {"epoch": self.epoch, "top1": self.top1, "start_loss": self._start_loss}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
        self.epoch, self.top1, self._start_loss = notes["epoch"], notes["top1"], notes["start_loss"]

    def graph(self, folder: Path) -> Graph:
        """Return the best graph of the run in `folder`."""
        return load(_folder(folder))

    def _warn_of_ruin(self, loss: float, trainer: TrainingRun) -> None:
        if self._start_loss is None or loss <= FAR_ABOVE * self._start_loss:
            return
        settings = trainer.settings
        print(
            f"warning: epoch 0 ends with {loss / self._start_loss:.1f} times the validation loss that the weights came "
            f"with ({self._start_loss:.4f}): lower {settings.section}.learning_rate, which is "
            f"{settings.learning_rate:.3g}, or set it to null",
            flush=True,
        )


def _folder(work: Path) -> Path:
    return work / "best"
