"""The training loop: exact to resume at any step, and open to strategies.

An interrupted and resumed run computes exactly what an uninterrupted one does: order and augmentation of the pictures
are functions of (seed, epoch, position), dropout is one of (seed, step), and everything else is in the checkpoint.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from qatflow.base.errors import UserError
from qatflow.base.measure import Measure
from qatflow.config.sections.base import Precision
from qatflow.data.answers import measure_of
from qatflow.data.manifest import Manifest
from qatflow.data.mapped import mapped
from qatflow.data.pipeline import evaluation_batches, training_data
from qatflow.graph.graph import Graph
from qatflow.graph.head import classifier_head
from qatflow.training import checkpoint
from qatflow.training.checkpoint import TrainingProgress
from qatflow.training.history import EpochFigures, write_events
from qatflow.training.keras_model import Hooks, TrainingModel
from qatflow.training.loss import Loss, evaluator
from qatflow.training.memory import MAY_SAY, out_of_memory, ran_out
from qatflow.training.precision import SINGLE
from qatflow.training.replicas import Replicas
from qatflow.training.settings import TrainingSettings
from qatflow.training.step import TrainingStep
from qatflow.training.strategy import Strategy
from qatflow.training.termination import TerminatedError, Termination

LOG_EVERY = 50
"""Steps between two lines of the log; where they take longer than `LOG_SECONDS`, lines come as often as that."""
LOG_SECONDS = 5.0
FLOAT = "float"
"""The phase before any strategy has changed what the model does."""


class Trainer:
    """One training run in one work folder.

    Attributes:
        settings: of the run.
        data: the prepared pictures.
        folder: where the state is kept.
        strategies: called in this order.
        replicas: the devices.
        steps_per_epoch: batches in an epoch.
        epoch: epoch being trained, counted from 0.
        step: steps of it already done.
        history: figures of the finished epochs.
        phase: what the strategies call the state of the model, for the log: `float`, `quantised`, …
    """

    def __init__(
        self,
        graph: Graph,
        data: Manifest,
        settings: TrainingSettings,
        folder: Path,
        strategies: Sequence[Strategy] = (),
        hooks: Hooks | None = None,
        replicas: Replicas | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Build the model and restore the newest checkpoint.

        Args:
            graph: float graph to start from.
            data: prepared pictures; `train` is trained on, `validation` evaluated on.
            settings: of the run.
            folder: the run's own work folder.
            strategies: called in this order.
            hooks: what the strategies put into the model.
            replicas: devices to train on; None: the GPUs that TensorFlow may use, or the CPU.
            clock: seconds from any beginning, for checkpoints by time.

        Raises:
            UserError: the batch cannot be shared evenly by the devices, or the graph does not end as a classifier does.
        """
        _, kind = classifier_head(graph)
        self.settings = settings
        self.data = data
        self.folder = folder
        self.strategies = strategies
        self.phase = FLOAT
        self.replicas = replicas or Replicas()
        self.replicas.check(settings.batch_size, f"{settings.section}.batch_size")
        self._pictures = training_data(
            data, batch_size=settings.batch_size, seed=settings.seed, augmentation=settings.augmentation
        )
        self._validation = evaluation_batches(data, "validation")
        self.steps_per_epoch = self._pictures.steps
        unlabeled = data.splits["train"].unlabeled
        self._training_step = TrainingStep(
            settings, self.steps_per_epoch, kind, self.replicas, hooks, unlabeled=unlabeled
        )
        progress, values = checkpoint.newest(folder)
        self.epoch, self.step, self.history = progress.epoch, progress.step, list(progress.history)
        for place, notes in (progress.notes or {}).items():
            strategies[int(place)].recall(notes)
        for strategy in strategies:
            graph = strategy.restored(graph, folder)
        self._build(graph)
        for variable, value in zip(self._variables, values, strict=bool(values)):
            variable.assign(value)
        if progress != TrainingProgress():
            print(f"resumed at epoch {self.epoch}, step {self.step} of {self.steps_per_epoch}", flush=True)
        self._clock = clock
        self._evaluation_seconds = 0.0
        self._saved_at = clock()
        self._termination = Termination()
        self._termination.saved = self._position() if values else ""
        self.retrace()

    @property
    def model(self) -> TrainingModel:
        """The model being trained."""
        return self._training_step.model

    @property
    def loss(self) -> Loss:
        """What a step minimises."""
        return self._training_step.loss

    def retrace(self) -> None:
        """Let TensorFlow trace the model again: call it after a strategy has changed what the model does."""
        self._training_step.trace()
        self._evaluate = evaluator(self.model, self.replicas)

    def minimise(self, loss: Loss) -> None:
        """Train with another loss from here on."""
        self._training_step.loss = loss
        self.retrace()

    def rebuild(self, graph: Graph) -> None:
        """Go on with another graph (a thinner one, for example) and its weights.

        A weight that keeps its name and shape keeps its momentum; that of the others begins at zero.
        """
        state = self._training_step.optimiser_state()
        self._build(graph)
        self._training_step.take_over(state)
        self.retrace()

    def enter(self, phase: str) -> None:
        """Begin a phase: in all but `float` layers compute in float32, whatever the settings' precision is."""
        before, self.phase = self._precision, phase
        if self._precision != before:
            values = [variable.numpy() for variable in self._variables]
            self._build(self.model.graph)
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
        self.retrace()

    def run(self) -> list[EpochFigures]:
        """Train to the last epoch and return the figures of each.

        Raises:
            UserError: the loss is not a finite number; or a step does not fit into memory, with a batch that does.
            SystemExit: with status 143 after SIGTERM and 130 after SIGINT, when the state is saved.
        """
        self._saved_at = self._clock()
        try:
            with self._termination:
                for strategy in self.strategies:
                    strategy.on_compression_begin(self)
                while self.epoch < self.settings.epochs:
                    self._run_epoch()
                for strategy in self.strategies:
                    strategy.on_compression_end(self)
        except MAY_SAY as error:
            if not ran_out(error):
                raise
            raise out_of_memory(self._try_gradients, self.settings, self.replicas.count) from error
        except TerminatedError as ended:
            print(
                f"{ended.word} at {self._position()}; the state is saved: the same command continues from there",
                flush=True,
            )
            sys.exit(ended.status)
        return self.history

    def float_graph(self) -> Graph:
        """Return the graph with the current weights, in float."""
        return replace(self.model.graph, weights=self.model.weights())

    def evaluate(self, share: float = 1.0) -> tuple[float, float, float]:
        """Return mean cross entropy, top-1 and top-5 (shares of 1) over the validation pictures.

        Args:
            share: of the pictures that are looked at, in whole batches, the first of them.

        Raises:
            TerminatedError: SIGTERM or SIGINT has come in the meantime.
        """
        batches = self._validation
        if share < 1:
            batches = batches.take(max(1, round(share * int(batches.cardinality()))))
        return self._evaluate(batches, self._termination.check)

    def check_termination(self) -> None:
        """Raise TerminatedError if SIGTERM or SIGINT has come: call it in what takes long."""
        self._termination.check()

    def _run_epoch(self) -> None:
        for strategy in self.strategies:
            strategy.on_epoch_begin(self)
        started = logged = time.monotonic()
        first = self.step
        for batch in self.replicas.shared(self._batches(first)):
            for strategy in self.strategies:
                strategy.on_batch_begin(self)
            loss = self._training_step(*batch)
            self.step += 1
            for strategy in self.strategies:
                strategy.on_batch_end(self)
            now = time.monotonic()
            if self.step % LOG_EVERY == 0 or now - logged >= LOG_SECONDS:
                self._log(float(loss), (self.step - first) / (now - started))
                logged = now
            with self._saved_if_terminated():
                self._termination.check()
            if self.step < self.steps_per_epoch and self._checkpoint_is_due():
                self._save()
        self._finish_epoch()

    def _checkpoint_is_due(self) -> bool:
        settings = self.settings
        return (
            self.step % settings.checkpoint_steps == 0 or self._clock() - self._saved_at >= settings.checkpoint_seconds
        )

    def _batches(self, first: int) -> Any:
        """Return the batches of the epoch from a step on: pictures, labels, positions."""
        positions = self._pictures.positions(self.epoch).reshape(-1, self.settings.batch_size)[first:]
        pictures = self._pictures.epoch(self.epoch, first)
        together = tf.data.Dataset.zip((pictures, tf.data.Dataset.from_tensor_slices(positions)))
        return mapped(together, lambda batch, places: (*batch, places))

    def _finish_epoch(self) -> None:
        sums = self._training_step.sums
        loss, top1, top5, count = (float(value) for value in sums.numpy())
        self._check(loss)
        due = self._is_evaluated(self.epoch)
        started = time.monotonic()
        with self._saved_if_terminated():
            validation = self.evaluate() if due else (None, None, None)
        if due:
            self._evaluation_seconds = time.monotonic() - started
        rate = self._training_step.learning_rate()
        figures = EpochFigures(self.epoch, self.phase, rate, loss / count, top1 / count, top5 / count, *validation)
        self.history.append(figures)
        print(figures.text(self.measure), flush=True)
        for strategy in self.strategies:
            strategy.on_epoch_end(self)
        sums = self._training_step.sums  # a strategy may have rebuilt the model
        sums.assign(tf.zeros_like(sums))
        self.epoch, self.step = self.epoch + 1, 0
        self._save()
        write_events(figures, self.folder / "tensorboard", self.measure)

    @property
    def measure(self) -> Measure:
        """The measure of the data: accuracy, or agreement with the float model."""
        return measure_of(self.data)

    def _is_evaluated(self, epoch: int) -> bool:
        every = self.settings.evaluate_every
        return every > 0 and ((epoch + 1) % every == 0 or epoch + 1 == self.settings.epochs)

    @property
    def _precision(self) -> Precision:
        return self.settings.precision if self.phase == FLOAT else SINGLE

    def _build(self, graph: Graph) -> None:
        """Make the model of a graph, for the present phase, and the strategies' variables for it."""
        self._training_step.build(graph, self._precision)
        with self.replicas.scope():
            own = [variable for strategy in self.strategies for variable in strategy.built(self)]
        self._variables = [*self._training_step.variables(), *own, self._training_step.sums]

    def _try_gradients(self, count: int) -> None:
        """Compute the gradients of `count` pictures per replica, to see whether they fit into memory."""
        self._training_step.try_gradients(count, self.data.preprocessing.shape)

    def _save(self) -> None:
        notes = {str(place): dict(strategy.notes()) for place, strategy in enumerate(self.strategies)}
        progress = TrainingProgress(self.epoch, self.step, tuple(self.history), notes)
        checkpoint.save(self.folder, self._variables, progress, self.settings.keep_checkpoints)
        self._saved_at = self._clock()
        self._termination.saved = self._position()

    def _position(self) -> str:
        return f"epoch {self.epoch}, step {self.step}"

    @contextlib.contextmanager
    def _saved_if_terminated(self) -> Iterator[None]:
        try:
            yield
        except TerminatedError:
            self._save()
            raise

    def _check(self, loss: float) -> None:
        if np.isfinite(loss):
            return
        causes = "; ".join(filter(None, (strategy.diagnose(self) for strategy in self.strategies)))
        raise UserError(
            f"epoch {self.epoch}, step {self.step}: the loss is {loss}{'; ' + causes if causes else ''}: "
            "lower the learning rate; training continues from the last checkpoint, or starts over with other settings"
        )

    def _log(self, loss: float, steps_per_second: float) -> None:
        """Print how far the training is; the logger `qatflow` shows the line, so it begins as it does there."""
        self._check(loss)
        _, top1, _, count = (float(value) for value in self._training_step.sums.numpy())
        steps = self.settings.epochs * self.steps_per_epoch
        done = self.epoch * self.steps_per_epoch + self.step
        evaluations = sum(map(self._is_evaluated, range(self.epoch, self.settings.epochs)))
        left = (steps - done) / steps_per_second + evaluations * self._evaluation_seconds
        print(
            f"epoch {self.epoch}, step {self.step}/{self.steps_per_epoch}, {100 * done / steps:.0f} % done,"
            f" {_as_on_a_clock(left)} left: loss {loss:.4f}, {self.measure.name} {100 * top1 / max(count, 1):.1f} %,"
            f" {steps_per_second * self.settings.batch_size:,.0f} pictures/s",
            flush=True,
        )


def _as_on_a_clock(seconds: float) -> str:
    """Return a time as `03:20` or `1:03:20`, like the preparation of the pictures."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
