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

from qatflow.base.errors import UserError
from qatflow.config.sections.base import Precision
from qatflow.data.manifest import Manifest
from qatflow.data.pipeline import evaluation_batches, training_data
from qatflow.graph.graph import Graph
from qatflow.graph.head import classifier_head
from qatflow.training import checkpoint
from qatflow.training.checkpoint import Progress
from qatflow.training.history import EpochFigures, write_events
from qatflow.training.keras_model import Hooks, TrainingModel, training_model
from qatflow.training.loss import Batch, CrossEntropy, Loss, evaluator, sums
from qatflow.training.memory import MAY_SAY, out_of_memory, ran_out
from qatflow.training.precision import SINGLE, with_scaled_loss
from qatflow.training.replicas import Replicas
from qatflow.training.schedule import WarmupCosine
from qatflow.training.settings import TrainingSettings
from qatflow.training.strategy import Strategy
from qatflow.training.termination import TerminatedError, Termination

LOG_EVERY = 50
FLOAT = "float"
"""The phase before any strategy has changed what the model does."""


class Trainer:
    """One training run in one work folder.

    Attributes:
        model: the model being trained.
        folder: where the state is kept.
        epoch: epoch being trained, counted from 0.
        step: steps of it already done.
        history: figures of the finished epochs.
        loss: what a step minimises.
        replicas: the devices.
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
            UserError: the batch cannot be shared evenly by the devices, or the graph ends in what is no classifier's.
        """
        _, self._kind = classifier_head(graph)
        self.settings = settings
        self.data = data
        self.folder = folder
        self.strategies = strategies
        self.phase = FLOAT
        self.loss: Loss = CrossEntropy(settings.label_smoothing, self._kind)
        self._hooks = hooks
        self.replicas = replicas or Replicas()
        self.replicas.check(settings.batch_size, f"{settings.section}.batch_size")
        self._pictures = training_data(
            data, batch_size=settings.batch_size, seed=settings.seed, augmentation=settings.augmentation
        )
        self._validation = evaluation_batches(data, "validation")
        self.steps_per_epoch = self._pictures.steps
        self._schedule = WarmupCosine(
            settings.learning_rate,
            round(settings.warmup_epochs * self.steps_per_epoch),
            settings.epochs * self.steps_per_epoch,
        )
        progress, values = checkpoint.newest(folder)
        self.epoch, self.step, self.history = progress.epoch, progress.step, list(progress.history)
        for name, notes in (progress.notes or {}).items():
            strategies[int(name)].recall(notes)
        for strategy in strategies:
            graph = strategy.restored(graph, folder)
        self._build(graph)
        for variable, value in zip(self._variables, values, strict=bool(values)):
            variable.assign(value)
        if progress != Progress():
            print(f"resumed at epoch {self.epoch}, step {self.step} of {self.steps_per_epoch}", flush=True)
        self._clock = clock
        self._saved_at = clock()
        self._termination = Termination()
        self._termination.saved = self._position() if values else ""
        self.retrace()

    def retrace(self) -> None:
        """Let TensorFlow trace the model anew: call it after a strategy has changed what the model does."""
        step = self.replicas.summed(self._one_step)
        self._train_step = tf.function(step, autograph=False, reduce_retracing=True)
        self._evaluate = evaluator(self.model, self.replicas)
        self._forward = self.model.with_tensors(self.loss.looks_at) if self.loss.looks_at else None

    def minimise(self, loss: Loss) -> None:
        """Train with another loss from here on."""
        self.loss = loss
        self.retrace()

    def rebuild(self, graph: Graph) -> None:
        """Go on with another graph, a thinner one, say; its weights are those to go on with.

        The momentum of a weight that keeps name and shape is kept, that of others begins at zero.
        """
        before = self._momentum()
        kept = [variable.numpy() for variable in self._counters()]
        self._build(graph)
        for variable, value in zip(self._counters(), kept, strict=True):
            variable.assign(value)
        for name, variable in self._momentum().items():
            if name in before and before[name].shape == variable.shape:
                variable.assign(before[name].numpy())
        self.retrace()

    def enter(self, phase: str) -> None:
        """Begin a phase: in all but `float` layers compute in float32, whatever the settings' precision is."""
        before, self.phase = self._precision, phase
        if self._precision != before:
            kept = [variable.numpy() for variable in self._variables]
            self._build(self.model.graph)
            for variable, value in zip(self._variables, kept, strict=True):
                variable.assign(value)
        self.retrace()

    def run(self) -> list[EpochFigures]:
        """Train to the last epoch and return the figures of each.

        Raises:
            UserError: the loss is not a finite number; or memory does not suffice for a step, with what would.
            SystemExit: with status 143 after SIGTERM and 130 after SIGINT, when the state is saved.
        """
        self._saved_at = self._clock()
        try:
            with self._termination:
                self._call(Strategy.on_compression_begin)
                while self.epoch < self.settings.epochs:
                    self._run_epoch()
                self._call(Strategy.on_compression_end)
        except MAY_SAY as error:
            if not ran_out(error):
                raise
            raise out_of_memory(self._gradients_of, self.settings, self.replicas.count) from error
        except TerminatedError as ended:
            print(
                f"{ended.word} at {self._position()}; the state is saved: the same command goes on from there",
                flush=True,
            )
            sys.exit(ended.status)
        return self.history

    def float_graph(self) -> Graph:
        """Return the graph with the weights that training has reached, in float."""
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
        """Raise TerminatedError if SIGTERM or SIGINT has come: to be called in what takes long."""
        self._termination.check()

    def _run_epoch(self) -> None:
        self._call(Strategy.on_epoch_begin)
        started = time.monotonic()
        first = self.step
        for batch in self.replicas.shared(self._batches(first)):
            self._call(Strategy.on_batch_begin)
            loss = self._train_step(*batch)
            self.step += 1
            self._call(Strategy.on_batch_end)
            if self.step % LOG_EVERY == 0:
                self._log(float(loss), (self.step - first) / (time.monotonic() - started))
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
        return together.map(lambda batch, places: (*batch, places))

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

    @property
    def _precision(self) -> Precision:
        return self.settings.precision if self.phase == FLOAT else SINGLE

    def _build(self, graph: Graph) -> None:
        """Make the model of a graph, for the present phase, and what goes with it."""
        settings = self.settings
        tf_keras.backend.clear_session()  # frees the model before
        with self.replicas.scope():
            sgd = tf_keras.optimizers.SGD(self._schedule, momentum=settings.momentum, nesterov=True)
            self._optimizer = with_scaled_loss(sgd, settings.precision)
            self.model: TrainingModel = training_model(
                graph,
                seed=settings.seed,
                step=self._optimizer.iterations,
                freeze_batch_norm=settings.freeze_batch_norm,
                hooks=self._hooks,
                precision=self._precision,
                replicas=self.replicas.count,
            )
            self._trained = self.model.keras.trainable_variables
            self._optimizer.build(self._trained)
            self._sums = self.replicas.sum_variable([4])  # loss, top-1, top-5, pictures
            own = [variable for strategy in self.strategies for variable in strategy.built(self)]
        kernels = {id(v) for name, v in self.model.variables.items() if name.endswith("kernel")}
        self._decay = [settings.weight_decay if id(v) in kernels else 0.0 for v in self._trained]
        new = {id(v) for name, v in self.model.variables.items() if name.rpartition("/")[0] == settings.new_layer}
        self._rates = [settings.new_layer_rate if id(v) in new else 1.0 for v in self._trained]
        self._variables = [*_all_variables(self.model), *self._optimizer.variables, *own, self._sums]

    def _gradients(self, batch: Batch) -> tuple[list[Any], Any, Any]:
        """Return the gradients, loss and logits of a replica's part of a batch, the first two as shares of the sum."""
        replicas = self.replicas.count
        with tf.GradientTape() as tape:
            logits, outputs = self._outputs(batch.pictures)
            loss = tf.reduce_mean(self.loss(batch, logits, outputs)) / replicas
            scaled = self._scaled(loss)
        # what a strategy will train later has no part in the loss yet
        gradients = tape.gradient(scaled, self._trained, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        if scaled is not loss:
            gradients = self._optimizer.get_unscaled_gradients(gradients)
        decayed = [
            g if decay == 0.0 else g + decay / replicas * v
            for g, v, decay in zip(gradients, self._trained, self._decay, strict=True)
        ]
        # of SGD a gradient so many times as large is a rate so many times as high, with momentum too
        rated = [g if rate == 1.0 else rate * g for g, rate in zip(decayed, self._rates, strict=True)]
        return rated, loss, logits

    def _outputs(self, pictures: Any) -> tuple[Any, dict[str, Any]]:
        """Return the logits, and the outputs of the nodes that the loss looks at, in training."""
        if self._forward is None:
            return self.model.keras(pictures, training=True), {}
        logits, *outputs = self._forward(pictures, training=True)
        return logits, dict(zip(self.loss.looks_at, outputs, strict=True))

    def _momentum(self) -> dict[str, Any]:
        """Return the optimiser's variable for each trained weight, by the weight's name."""
        inner = getattr(self._optimizer, "inner_optimizer", self._optimizer)
        names = {id(variable): name for name, variable in self.model.variables.items()}
        return {names.get(id(v), v.name): momentum for v, momentum in zip(self._trained, inner.momentums, strict=True)}

    def _counters(self) -> list[Any]:
        """Return the variables that no weight has a part in: steps, the loss' scale, sums."""
        momentum = {id(variable) for variable in self._momentum().values()}
        return [*(v for v in self._optimizer.variables if id(v) not in momentum), self._sums]

    def _one_step(self, pictures: Any, labels: Any, positions: Any) -> Any:
        gradients, loss, logits = self._gradients(Batch(pictures, labels, positions))
        self._optimizer.apply_gradients(zip(gradients, self._trained, strict=True))
        self._sums.assign_add(sums(labels, logits, self._kind))
        return loss

    def _gradients_of(self, count: int) -> None:
        """Compute the gradients of so many black pictures, on each replica, and forget them."""
        spec = self.data.preprocessing
        none = tf.zeros([count], tf.int64)
        black = Batch(tf.zeros([count, spec.size, spec.size, spec.channels]), none, none)
        tf.function(lambda: self._gradients(black)[0], autograph=False)()

    def _scaled(self, loss: Any) -> Any:
        return self._optimizer.get_scaled_loss(loss) if self.settings.precision == "mixed_float16" else loss

    def _call(self, callback: Callable[[Strategy, "Trainer"], None]) -> None:
        for strategy in self.strategies:
            getattr(strategy, callback.__name__)(self)

    def _save(self) -> None:
        notes = {str(place): dict(strategy.notes()) for place, strategy in enumerate(self.strategies)}
        progress = Progress(self.epoch, self.step, tuple(self.history), notes)
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
