"""What a compression strategy may do in the training loop: PaddleSlim's call-backs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qatflow.graph.graph import Graph

if TYPE_CHECKING:
    from qatflow.training.loop import Trainer


class Strategy:
    """Base of the strategies. Each call-back gets the trainer; what is not overridden does nothing.

    Order of calls: on_compression_begin; for each epoch on_epoch_begin, for each step on_batch_begin and on_batch_end,
    then evaluation, then on_epoch_end; on_compression_end. In a resumed run on_epoch_begin is called for the epoch that
    was interrupted, with `trainer.step` > 0.
    """

    def restored(self, graph: Graph, folder: Path) -> Graph:
        """Return the graph that the model had when the state was kept; called after `recall`, before the model is made.

        Args:
            graph: that the run begins with, or what the strategies before have made of it.
            folder: the run's work folder.
        """
        return graph

    def built(self, trainer: Trainer) -> Sequence[Any]:
        """Return variables that belong to the training's state; called whenever the trainer has made its model.

        Within the scope of the trainer's devices. There must be as many, of the same shapes, for the same graph.
        """
        return ()

    def on_compression_begin(self, trainer: Trainer) -> None:
        """Called once, when the state has been restored."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Called before the first (or first remaining) step of an epoch."""

    def on_batch_begin(self, trainer: Trainer) -> None:
        """Called before a step."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """Called after a step."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Called after an epoch and its evaluation, before the checkpoint: a killed export is done again."""

    def on_compression_end(self, trainer: Trainer) -> None:
        """Called once, after the last epoch."""

    def diagnose(self, trainer: Trainer) -> str:
        """Return where the model broke, when the loss is not a finite number; an empty text when all looks well."""
        return ""

    def notes(self) -> Mapping[str, Any]:
        """Return what the strategy must remember across a restart, as plain JSON values."""
        return {}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
