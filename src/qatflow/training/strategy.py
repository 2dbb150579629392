"""What a compression strategy does in a training, and what it may touch of it: PaddleSlim's callbacks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from qatflow.data.manifest import Manifest
from qatflow.graph.graph import Graph
from qatflow.training.history import EpochFigures
from qatflow.training.keras_model import TrainingModel
from qatflow.training.loss import Loss
from qatflow.training.replicas import Replicas
from qatflow.training.settings import TrainingSettings


class TrainingRun(Protocol):
    """What strategies may read and change of a training; `loop.Trainer` is the only one there is.

    Attributes:
        data: the prepared pictures.
        settings: of the run.
        folder: the run's work folder, where a strategy may keep files.
        replicas: the devices; variables are made within their scope.
        steps_per_epoch: batches in an epoch.
        epoch: epoch being trained, counted from 0.
        step: steps of it already done.
        history: figures of the finished epochs.
    """

    data: Manifest
    settings: TrainingSettings
    folder: Path
    replicas: Replicas
    steps_per_epoch: int
    epoch: int
    step: int
    history: list[EpochFigures]

    @property
    def model(self) -> TrainingModel:
        """The model being trained."""

    @property
    def loss(self) -> Loss:
        """What a step minimises."""

    def evaluate(self, share: float = 1.0) -> tuple[float, float, float]:
        """Return mean cross entropy, top-1 and top-5 over this share of the validation pictures."""

    def float_graph(self) -> Graph:
        """Return the graph with the current weights, in float."""

    def minimise(self, loss: Loss) -> None:
        """Train with another loss from here on."""

    def rebuild(self, graph: Graph) -> None:
        """Go on with another graph and its weights; momentum is kept where name and shape are."""

    def enter(self, phase: str) -> None:
        """Begin a phase; in all but `float` layers compute in float32."""

    def retrace(self) -> None:
        """Let TensorFlow trace the model again: call it after changing what the model does."""

    def check_termination(self) -> None:
        """Raise TerminatedError if SIGTERM or SIGINT has come: call it in what takes long."""


class Strategy:
    """Base of the strategies. Each callback gets the training; a callback that is not overridden does nothing.

    Order of calls: on_compression_begin; for each epoch on_epoch_begin, for each step on_batch_begin and on_batch_end,
    then evaluation, then on_epoch_end; on_compression_end. In a resumed run on_epoch_begin is called for the epoch that
    was interrupted, with `trainer.step` > 0.
    """

    def restored(self, graph: Graph, folder: Path) -> Graph:
        """Return the graph that the model had when the state was saved; called after `recall`, before the model exists.

        Args:
            graph: the graph that the run begins with, as changed by the strategies before this one.
            folder: the run's work folder.
        """
        return graph

    def built(self, trainer: TrainingRun) -> Sequence[Any]:
        """Return variables that belong to the training's state; called whenever the trainer has built its model.

        Called within the scope of the trainer's devices. For the same graph there must be as many, of the same shapes.
        """
        return ()

    def on_compression_begin(self, trainer: TrainingRun) -> None:
        """Called once, when the state has been restored."""

    def on_epoch_begin(self, trainer: TrainingRun) -> None:
        """Called before the first (or first remaining) step of an epoch."""

    def on_batch_begin(self, trainer: TrainingRun) -> None:
        """Called before a step."""

    def on_batch_end(self, trainer: TrainingRun) -> None:
        """Called after a step."""

    def on_epoch_end(self, trainer: TrainingRun) -> None:
        """Called after an epoch and its evaluation, before the checkpoint: after a kill it is called again."""

    def on_compression_end(self, trainer: TrainingRun) -> None:
        """Called once, after the last epoch."""

    def diagnose(self, trainer: TrainingRun) -> str:
        """Return where the model broke, when the loss is not a finite number; an empty text when all looks well."""
        return ""

    def notes(self) -> Mapping[str, Any]:
        """Return what the strategy must remember across a restart, as plain JSON values."""
        return {}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
