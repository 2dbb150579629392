"""The training loop: exact to resume at any step, and open to strategies.

What an interrupted and resumed run computes is what an uninterrupted one does: order and augmentation of the pictures
are functions of (seed, epoch, position), dropout of (seed, step), and everything else is in the checkpoint.
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
import tf_keras

from qatflow.data.manifest import Manifest
from qatflow.data.pipeline import evaluation_batches, training_data
from qatflow.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.training import checkpoint
from qatflow.training.checkpoint import Progress
from qatflow.training.figures import cross_entropy, evaluator, sums
from qatflow.training.history import EpochFigures, write_events
from qatflow.training.keras_model import Hooks, TrainingModel, training_model
from qatflow.training.schedule import WarmupCosine
from qatflow.training.settings import TrainingSettings
from qatflow.training.strategy import Strategy
from qatflow.training.termination import STATUS, TerminatedError, Termination

LOG_EVERY = 50


class Trainer:
    """One training run in one work folder.

    Attributes:
        model: the model being trained.
        folder: where the state is kept.
        epoch: epoch being trained, counted from 0.
        step: steps of it already done.
        history: figures of the finished epochs.
        phase: what the strategies say of the model, for the log: `float`, `quantised`, …
    """

    def __init__(
        self,
        graph: Graph,
        data: Manifest,
        settings: TrainingSettings,
        folder: Path,
        strategies: Sequence[Strategy] = (),
        hooks: Hooks | None = None,
    ):
        """Build the model and restore the newest checkpoint.

        Args:
            graph: float graph to start from.
            data: prepared pictures; `train` is trained on, `validation` evaluated on.
            settings: of the run.
            folder: the run's own work folder.
            strategies: called in this order.
            hooks: what the strategies put into the model.
        """
        self.settings = settings
        self.data = data
        self.folder = folder
        self.strategies = strategies
        self.phase = "float"
        self._pictures = training_data(
            data, batch_size=settings.batch_size, seed=settings.seed, augmentation=settings.augmentation
        )
        self._validation = evaluation_batches(data, "validation", batch_size=256)
        self.steps_per_epoch = self._pictures.steps
        self._schedule = WarmupCosine(
            settings.learning_rate,
            round(settings.warmup_epochs * self.steps_per_epoch),
            settings.epochs * self.steps_per_epoch,
        )
        self._optimizer = tf_keras.optimizers.SGD(self._schedule, momentum=settings.momentum, nesterov=True)
        self.model: TrainingModel = training_model(
            graph,
            seed=settings.seed,
            step=self._optimizer.iterations,
            freeze_batch_norm=settings.freeze_batch_norm,
            hooks=hooks,
        )
        self._trained = self.model.keras.trainable_variables
        kernels = {id(v) for name, v in self.model.variables.items() if name.endswith("kernel")}
        self._decay = [settings.weight_decay if id(v) in kernels else 0.0 for v in self._trained]
        self._optimizer.build(self._trained)
        self._sums = tf.Variable(tf.zeros([4], tf.float64), trainable=False)  # loss, top-1, top-5, pictures
        self._variables = [*_all_variables(self.model), *self._optimizer.variables, self._sums]
        progress = checkpoint.restore(folder, self._variables)
        self.epoch, self.step, self.history = progress.epoch, progress.step, list(progress.history)
        for name, notes in (progress.notes or {}).items():
            strategies[int(name)].recall(notes)
        if progress != Progress():
            print(f"resumed at epoch {self.epoch}, step {self.step} of {self.steps_per_epoch}", flush=True)
        self._termination = Termination()
        self.retrace()

    def retrace(self) -> None:
        """Let TensorFlow trace the model anew: call it after a strategy has changed what the model does."""
        self._train_step = tf.function(self._one_step, autograph=False, reduce_retracing=True)
        self._evaluate = evaluator(self.model.keras)

    def run(self) -> list[EpochFigures]:
        """Train to the last epoch and return the figures of each.

        Raises:
            UserError: the loss is not a finite number.
            SystemExit: with status 143 after SIGTERM, when the state is saved.
        """
        try:
            with self._termination:
                self._call(Strategy.on_compression_begin)
                while self.epoch < self.settings.epochs:
                    self._run_epoch()
                self._call(Strategy.on_compression_end)
        except TerminatedError:
            print(f"terminated at epoch {self.epoch}, step {self.step}; the state is saved", flush=True)
            sys.exit(STATUS)
        return self.history

    def float_graph(self) -> Graph:
        """Return the graph with the weights that training has reached, in float."""
        return replace(self.model.graph, weights=self.model.weights())

    def evaluate(self) -> tuple[float, float, float]:
        """Return mean cross entropy, top-1 and top-5 (shares of 1) over the validation pictures.

        Raises:
            TerminatedError: SIGTERM has come in the meantime.
        """
        return self._evaluate(self._validation, self._termination.check)

    def _run_epoch(self) -> None:
        self._call(Strategy.on_epoch_begin)
        started = time.monotonic()
        first = self.step
        for pictures, labels in self._pictures.epoch(self.epoch, first):
            self._call(Strategy.on_batch_begin)
            loss = self._train_step(pictures, labels)
            self.step += 1
            self._call(Strategy.on_batch_end)
            if self.step % LOG_EVERY == 0:
                self._log(float(loss), (self.step - first) / (time.monotonic() - started))
            with self._saved_if_terminated():
                self._termination.check()
            if self.step % self.settings.checkpoint_steps == 0 and self.step < self.steps_per_epoch:
                self._save()
        self._finish_epoch()

    def _finish_epoch(self) -> None:
        loss, top1, top5, count = (float(value) for value in self._sums.numpy())
        self._check(loss)
        every = self.settings.evaluate_every
        due = every > 0 and ((self.epoch + 1) % every == 0 or self.epoch + 1 == self.settings.epochs)
        with self._saved_if_terminated():
            validation = self.evaluate() if due else (None, None, None)
        # of the last step; the optimiser's own value is not known in a process that took no step of the epoch
        rate = float(self._schedule(self._optimizer.iterations - 1))
        figures = EpochFigures(self.epoch, self.phase, rate, loss / count, top1 / count, top5 / count, *validation)
        self.history.append(figures)
        print(figures.text(), flush=True)
        self._call(Strategy.on_epoch_end)
        self._sums.assign(tf.zeros_like(self._sums))
        self.epoch, self.step = self.epoch + 1, 0
        self._save()
        write_events(figures, self.folder / "tensorboard")

    def _one_step(self, pictures: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = self.model.keras(pictures, training=True)
            loss = tf.reduce_mean(cross_entropy(labels, logits, self.settings.label_smoothing))
        gradients = tape.gradient(loss, self._trained)
        decayed = [
            g if decay == 0.0 else g + decay * v
            for g, v, decay in zip(gradients, self._trained, self._decay, strict=True)
        ]
        self._optimizer.apply_gradients(zip(decayed, self._trained, strict=True))
        self._sums.assign_add(sums(labels, logits))
        return loss

    def _call(self, callback: Callable[[Strategy, "Trainer"], None]) -> None:
        for strategy in self.strategies:
            getattr(strategy, callback.__name__)(self)

    def _save(self) -> None:
        notes = {str(place): dict(strategy.notes()) for place, strategy in enumerate(self.strategies)}
        progress = Progress(self.epoch, self.step, tuple(self.history), notes)
        checkpoint.save(self.folder, self._variables, progress, self.settings.keep_checkpoints)

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
        found = "; ".join(filter(None, (strategy.diagnose(self) for strategy in self.strategies)))
        raise UserError(
            f"epoch {self.epoch}, step {self.step}: the loss is {loss}{'; ' + found if found else ''}: "
            "lower the learning rate; training goes on from the last checkpoint, or afresh with other settings"
        )

    def _log(self, loss: float, steps_per_second: float) -> None:
        self._check(loss)
        rate = steps_per_second * self.settings.batch_size
        print(
            f"epoch {self.epoch}, step {self.step}/{self.steps_per_epoch}: loss {loss:.4f}, {rate:.0f} pictures/s",
            flush=True,
        )


def _all_variables(model: TrainingModel) -> list[Any]:
    """Return every variable of the Keras model once: a wrapped layer hides its kernel while it is quantised."""
    found: dict[int, Any] = {}
    for variable in [*model.variables.values(), *model.keras.weights]:
        found.setdefault(id(variable), variable)
    return list(found.values())
