"""DistillationStrategy: from `start_epoch` to before `end_epoch` the student follows a teacher too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from qatflow.base.errors import UserError
from qatflow.compress.strategies.distillers import Distiller
from qatflow.compress.strategies.teacher import Teacher
from qatflow.config.recipe.distillation import DistillationStrategySection
from qatflow.graph.graph import Graph
from qatflow.pruning.candidates import candidates
from qatflow.training.loss import Batch, Loss
from qatflow.training.strategy import Strategy, TrainingRun


@dataclass(frozen=True)
class DistillationLoss:
    """The loss of the labels plus the weighted losses of the distillers.

    Attributes:
        labels: the loss without this teacher; of the labels, or of another distillation.
        with_labels: whether the loss of the labels counts.
        teacher: the network that the student follows.
        parts: each distiller with the student's layers and the teacher's layers that it compares.
    """

    labels: Loss
    teacher: Teacher
    parts: tuple[tuple[Distiller, tuple[str, ...], tuple[str, ...]], ...]
    with_labels: bool = True

    @property
    def looks_at(self) -> tuple[str, ...]:
        """The student's layers."""
        return tuple(dict.fromkeys((*self.labels.looks_at, *(name for _, ours, _ in self.parts for name in ours))))

    def __call__(self, batch: Batch, logits: Any, outputs: Mapping[str, Any]) -> Any:
        """Return the loss of each picture, float32 [n]."""
        return self._total(batch, logits, outputs, with_labels=True)

    def _total(self, batch: Batch, logits: Any, outputs: Mapping[str, Any], *, with_labels: bool) -> Any:
        with_labels = with_labels and self.with_labels
        if isinstance(self.labels, DistillationLoss):
            total = self.labels._total(batch, logits, outputs, with_labels=with_labels)
        else:
            total = self.labels(batch, logits, outputs) if with_labels else 0.0
        teacher = self.teacher.outputs(batch)
        for distiller, ours, theirs in self.parts:
            student = [tf.cast(outputs[name], tf.float32) for name in ours]
            total += distiller.weight * distiller.loss(student, [teacher[name] for name in theirs])
        return total


class DistillationStrategy(Strategy):
    """PaddleSlim's strategy of the name; the labels' loss stays, unless the section says otherwise."""

    def __init__(
        self, section: DistillationStrategySection, distillers: Mapping[str, Distiller], student: Graph, teacher: Graph
    ):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            distillers: those that it names, by name.
            student: float graph that is trained; a strategy before this one may make it thinner.
            teacher: float graph.

        Raises:
            UserError: a layer is unknown, or outputs cannot be compared.
        """
        self.section = section
        self._teacher = teacher
        parts = []
        for name, distiller in distillers.items():
            ours, theirs = distiller.resolved(name, student, teacher)
            parts.append((distiller, tuple(ours), tuple(theirs)))
        self._parts = tuple(parts)
        self._distillers = distillers
        self._loss: DistillationLoss | None = None

    def on_epoch_begin(self, trainer: TrainingRun) -> None:
        """Begin at `start_epoch`, or at once in a run that is resumed after it."""
        if self._loss is None and self.section.start_epoch <= trainer.epoch < self.section.end_epoch:
            self._begin(trainer)

    def on_epoch_end(self, trainer: TrainingRun) -> None:
        """End before `end_epoch`: at the end of an epoch, so that another strategy may begin there, in any order."""
        if self._loss is not None and trainer.epoch + 1 == self.section.end_epoch:
            trainer.minimise(_without(trainer.loss, self._loss))
            self._loss = None
            print(f"epoch {trainer.epoch + 1}: distillation has ended", flush=True)

    def _begin(self, trainer: TrainingRun) -> None:
        for name, distiller in self._distillers.items():
            distiller.resolved(name, trainer.model.graph, self._teacher)  # a strategy may have changed the student
        with trainer.replicas.scope():
            teacher = Teacher(self._teacher, [name for _, _, theirs in self._parts for name in theirs])
        kept = trainer.settings.augmentation == "none" and teacher.keep(trainer.data, trainer.check_termination)
        self._loss = DistillationLoss(trainer.loss, teacher, self._parts, self.section.labels)
        trainer.minimise(self._loss)
        how = "computed once, since pictures are shown unchanged" if kept else "computed in each step"
        print(
            f"epoch {trainer.epoch}: distillation by {', '.join(self._distillers)}; the teacher's outputs are {how}",
            flush=True,
        )


def _without(loss: Loss, own: DistillationLoss) -> Loss:
    """Return a loss without one of the distillations that it is made of."""
    if loss is own:
        return own.labels
    assert isinstance(loss, DistillationLoss)
    return replace(loss, labels=_without(loss.labels, own))


SAMPLE = 0.5
"""Share of each group's channels that the student is checked without."""


def check_thinner(distillers: Mapping[str, Distiller], student: Graph, teacher: Graph, pruned_params: str) -> None:
    """Raise before training if a distiller compares layers whose channels pruning may remove.

    Args:
        distillers: by name.
        student: float graph before pruning.
        teacher: float graph.
        pruned_params: the pruning strategy's.

    Raises:
        UserError: a distiller's layers would have other shapes than the teacher's; or pruned_params matches nothing.
    """
    prunable = candidates(student, pruned_params, {})
    thin = prunable.thin({group.name: SAMPLE for group in prunable.groups})
    for name, distiller in distillers.items():
        distiller.resolved(name, student, teacher)
        try:
            distiller.resolved(name, thin, teacher)
        except UserError as error:
            raise UserError(
                f"{error}, once filter pruning has removed channels; let pruned_params skip these layers, end the "
                "distillation before the pruning, or use SoftLabelDistiller"
            ) from error
