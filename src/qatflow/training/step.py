"""One step of training: the model, the optimiser, the learning rate and the gradients.

Mixed precision, the loss scale, weight decay and the higher rate of a new last layer are handled here; epochs,
checkpoints and strategies in `loop.py`.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from qatflow.base.errors import UserError
from qatflow.config.sections.base import Precision
from qatflow.graph.graph import Graph
from qatflow.graph.head import HeadKind
from qatflow.training.keras_model import Hooks, NoHooks, TrainingModel, training_model
from qatflow.training.loss import Batch, CrossEntropy, Loss, sums
from qatflow.training.precision import with_scaled_loss
from qatflow.training.replicas import Replicas
from qatflow.training.settings import TrainingSettings

ALL_FROZEN = (
    "all layers of the network are frozen (trainable=False), so there is nothing to train: set model.frozen_layers to "
    "train, or quantise without training (method: ptq)"
)


class WarmupCosine(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to the peak, then half a cosine down to zero (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of step `step` (an integer tensor), float32."""
        done = tf.cast(step, tf.float32)
        rising = self.peak * (done + 1.0) / max(self.warmup_steps, 1)
        share = (done - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        falling = self.peak * 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
        return tf.where(done < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the settings (Keras' interface)."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}


@dataclass(frozen=True)
class OptimiserState:
    """What the optimiser knows, to be carried over to the model of another graph.

    Attributes:
        counters: values of the variables that belong to no weight: steps, the loss scale, the epoch's sums.
        momentum: by the weight's name.
    """

    counters: list[np.ndarray]
    momentum: dict[str, np.ndarray]


class TrainingStep:
    """Computes the gradients of a batch and updates the weights; adds up loss and hits of an epoch.

    Attributes:
        model: the model being trained.
        loss: what a step minimises; `trace` must be called after a change.
        sums: variable, float64 [4]: loss, top-1 hits, top-5 hits and pictures of the epoch so far.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        steps_per_epoch: int,
        kind: HeadKind,
        replicas: Replicas,
        hooks: Hooks | None,
        *,
        unlabeled: bool = False,
    ):
        """Set up the step; `build` and `trace` come next.

        Args:
            settings: of the run.
            steps_per_epoch: batches in an epoch.
            kind: what the model's logits lead to.
            replicas: devices to train on.
            hooks: what the strategies put into the model.
            unlabeled: whether some pictures have no label.
        """
        self.loss: Loss = CrossEntropy(settings.label_smoothing, kind, unlabeled)
        self._settings = settings
        self._kind = kind
        self._unlabeled = unlabeled
        self._replicas = replicas
        self._hooks = hooks or NoHooks()
        self._schedule = WarmupCosine(
            settings.learning_rate,
            round(settings.warmup_epochs * steps_per_epoch),
            settings.epochs * steps_per_epoch,
        )

    def build(self, graph: Graph, precision: Precision) -> None:
        """Make the model of a graph and a new optimiser for it.

        Args:
            graph: in float; its weights are loaded.
            precision: what the layers compute in.
        """
        settings = self._settings
        tf_keras.backend.clear_session()  # frees the model before
        with self._replicas.scope():
            sgd = tf_keras.optimizers.SGD(self._schedule, momentum=settings.momentum, nesterov=True)
            self._optimizer = with_scaled_loss(sgd, settings.precision)
            self.model: TrainingModel = training_model(
                graph,
                seed=settings.seed,
                step=self._optimizer.iterations,
                freeze_batch_norm=settings.freeze_batch_norm,
                hooks=self._hooks,
                precision=precision,
                replicas=self._replicas.count,
            )
            self._trained = self.model.trained()
            if not self._trained:
                raise UserError(ALL_FROZEN)
            self._optimizer.build(self._trained)
            self.sums = self._replicas.sum_variable([4])
        kernels = {id(v) for name, v in self.model.variables.items() if name.endswith("kernel")}
        decay = dict.fromkeys(kernels, settings.weight_decay)
        decay |= {id(v): factor for v, factor in self._hooks.decayed()}
        self._decay = [decay.get(id(v), 0.0) for v in self._trained]
        new = {id(v) for name, v in self.model.variables.items() if name.rpartition("/")[0] == settings.new_layer}
        self._rates = [settings.new_layer_rate if id(v) in new else 1.0 for v in self._trained]

    def trace(self) -> None:
        """Let TensorFlow trace the step again: its model or loss does something else now."""
        step = self._replicas.summed(self._one_step)
        self._traced = tf.function(step, autograph=False, reduce_retracing=True)
        self._forward = self.model.with_tensors(self.loss.looks_at) if self.loss.looks_at else None

    def __call__(self, pictures: Any, labels: Any, positions: Any) -> Any:
        """Train on a batch of `Replicas.shared`; return its loss, a float32 scalar."""
        return self._traced(pictures, labels, positions)

    def learning_rate(self) -> float:
        """Return the rate of the last step."""
        # the optimiser's own value is not known in a process that took no step of the epoch
        return float(self._schedule(self._optimizer.iterations - 1))

    def variables(self) -> list[Any]:
        """Return the variables of model and optimiser, each once, in an order that depends on the graph alone."""
        # a wrapped layer hides its kernel while it is quantised
        model = {id(variable): variable for variable in [*self.model.variables.values(), *self.model.keras.weights]}
        return [*model.values(), *self._optimizer.variables]

    def optimiser_state(self) -> OptimiserState:
        """Return the state of the optimiser, for `take_over`."""
        return OptimiserState(
            [variable.numpy() for variable in self._counters()],
            {name: variable.numpy() for name, variable in self._momentum().items()},
        )

    def take_over(self, state: OptimiserState) -> None:
        """Continue from a state before `build`; weights of another name or shape start without momentum."""
        for variable, value in zip(self._counters(), state.counters, strict=True):
            variable.assign(value)
        for name, variable in self._momentum().items():
            if name in state.momentum and state.momentum[name].shape == tuple(variable.shape):
                variable.assign(state.momentum[name])

    def try_gradients(self, count: int, picture: tuple[int, int, int]) -> None:
        """Compute the gradients of `count` black pictures on each replica, and forget them.

        Args:
            count: pictures per replica.
            picture: height, width and channels.
        """
        zeros = tf.zeros([count], tf.int64)
        black = Batch(tf.zeros([count, *picture]), zeros, zeros)
        tf.function(lambda: self._gradients(black)[0], autograph=False)()

    def _one_step(self, pictures: Any, labels: Any, positions: Any) -> Any:
        gradients, loss, logits = self._gradients(Batch(pictures, labels, positions))
        self._optimizer.apply_gradients(zip(gradients, self._trained, strict=True))
        self.sums.assign_add(sums(labels, logits, self._kind, unlabeled=self._unlabeled))
        return loss

    def _gradients(self, batch: Batch) -> tuple[list[Any], Any, Any]:
        """Return gradients, loss and logits of a replica's part of a batch, the first two as shares of the sum."""
        replicas = self._replicas.count
        with tf.GradientTape() as tape:
            logits, outputs = self._outputs(batch.pictures)
            loss = tf.reduce_mean(self.loss(batch, logits, outputs)) / replicas
            scaled = self._scaled(loss)
        # weights that a strategy will train later have no part in the loss yet
        gradients = tape.gradient(scaled, self._trained, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        if scaled is not loss:
            gradients = self._optimizer.get_unscaled_gradients(gradients)
        decayed = [
            g if decay == 0.0 else g + decay / replicas * v
            for g, v, decay in zip(gradients, self._trained, self._decay, strict=True)
        ]
        # for SGD, with momentum too, a gradient times x is the same as a learning rate times x
        rated = [g if rate == 1.0 else rate * g for g, rate in zip(decayed, self._rates, strict=True)]
        return rated, loss, logits

    def _outputs(self, pictures: Any) -> tuple[Any, dict[str, Any]]:
        """Return the logits, and the outputs of the nodes that the loss looks at, in training mode."""
        if self._forward is None:
            return self.model.keras(pictures, training=True), {}
        logits, *outputs = self._forward(pictures, training=True)
        return logits, dict(zip(self.loss.looks_at, outputs, strict=True))

    def _scaled(self, loss: Any) -> Any:
        return self._optimizer.get_scaled_loss(loss) if self._settings.precision == "mixed_float16" else loss

    def _momentum(self) -> dict[str, Any]:
        """Return the optimiser's variable for each trained weight, by the weight's name."""
        inner = getattr(self._optimizer, "inner_optimizer", self._optimizer)
        names = {id(variable): name for name, variable in self.model.variables.items()}
        return {names.get(id(v), v.name): momentum for v, momentum in zip(self._trained, inner.momentums, strict=True)}

    def _counters(self) -> list[Any]:
        """Return the variables that belong to no weight: steps, the loss scale, sums."""
        momentum = {id(variable) for variable in self._momentum().values()}
        return [*(v for v in self._optimizer.variables if id(v) not in momentum), self.sums]
