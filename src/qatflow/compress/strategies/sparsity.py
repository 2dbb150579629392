"""SparsityStrategy: tfmot's magnitude pruning of single weights, from `start_epoch` on; zeros stay zero."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning
from tensorflow_model_optimization.sparsity.keras import ConstantSparsity, PolynomialDecay, PruningSchedule

from qatflow.config.recipe.sparsity import SparsityStrategySection
from qatflow.graph.graph import Graph
from qatflow.graph.kernels import trained_kernels
from qatflow.training.strategy import Strategy, TrainingRun

UPDATES = 10
"""Updates of the masks between first and last step, at least: with fewer, the schedule is no cubic."""


class SparsityStrategy(Strategy):
    """Not in PaddleSlim. tfmot chooses which weights go, when and how many; kernels are masked after each step.

    tfmot's wrapper masks around a layer's call. Here it is done between steps, so that the layer may have another
    wrapper: a quantiser then gets zeros to quantise, and zero is on every symmetric grid.
    """

    def __init__(self, section: SparsityStrategySection, graph: Graph):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            graph: float graph that training begins with.

        Raises:
            UserError: no kernel of a layer that is trained matches the pattern.
        """
        self.section = section
        self._masks: dict[str, Any] = {}
        trained_kernels(graph, section.pruned_params, "pruned_params", without="made sparse")

    def built(self, trainer: TrainingRun) -> Sequence[Any]:
        """Make the masks of the model's kernels, with the values that they had for the model before."""
        before, variables = self._masks, trainer.model.variables
        names = trained_kernels(trainer.model.graph, self.section.pruned_params, "pruned_params")
        self._masks = {name: tf.Variable(tf.ones(variables[name].shape), trainable=False) for name in names}
        for name, mask in self._masks.items():
            if name in before and before[name].shape == mask.shape:
                mask.assign(before[name].numpy())
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        pruned = [(variables[name], mask, tf.Variable(0.0, trainable=False)) for name, mask in self._masks.items()]
        self._pruning = Pruning(
            lambda: self._step, pruned, self._schedule(trainer), (1, 1), "AVG", self.section.m_by_n and self._m_by_n
        )

        def hold() -> None:
            self._pruning.weight_mask_op()

        self._hold = tf.function(hold, autograph=False)
        return list(self._masks.values())

    def on_batch_begin(self, trainer: TrainingRun) -> None:
        """Choose weights again when the schedule says so."""
        step, (first, last) = self._steps(trainer), self._window(trainer)
        if not first <= step <= (first if self.section.m_by_n else last):
            return
        # tfmot computes the m by n pattern in the step with this number only
        self._step.assign(1 if self.section.m_by_n else step)
        with trainer.replicas.scope():
            self._pruning.conditional_mask_update()
            self._pruning.weight_mask_op()

    def on_batch_end(self, trainer: TrainingRun) -> None:
        """Set masked weights back to zero after the step."""
        if self._steps(trainer) > self._window(trainer)[0]:
            with trainer.replicas.scope():
                self._hold()

    def on_epoch_end(self, trainer: TrainingRun) -> None:
        """Print how many weights are zero."""
        if self.section.start_epoch <= trainer.epoch <= self.section.end_epoch:
            kernels = [trainer.model.variables[name].numpy() for name in self._masks]
            zeros, size = sum(int(np.sum(k == 0)) for k in kernels), sum(k.size for k in kernels)
            print(
                f"epoch {trainer.epoch}: {zeros:,} of {size:,} weights of {len(kernels)} kernels are zero "
                f"({100 * zeros / size:.1f} %)",
                flush=True,
            )

    @property
    def _m_by_n(self) -> tuple[int, int]:
        assert self.section.m_by_n is not None
        zeros, group = self.section.m_by_n
        return zeros, group

    @staticmethod
    def _steps(trainer: TrainingRun) -> int:
        return trainer.epoch * trainer.steps_per_epoch + trainer.step

    def _window(self, trainer: TrainingRun) -> tuple[int, int]:
        """Return the first and the last step before which weights are chosen, counted over all epochs."""
        first = self.section.start_epoch * trainer.steps_per_epoch
        last = (self.section.end_epoch + 1) * trainer.steps_per_epoch - 1
        # tfmot updates every `frequency` steps from the first on; the last update must be the end of its schedule
        return first, last - (last - first) % self._frequency(last - first)

    def _frequency(self, steps: int) -> int:
        return max(1, min(self.section.frequency, steps // UPDATES))

    def _schedule(self, trainer: TrainingRun) -> PruningSchedule:
        section, (first, last) = self.section, self._window(trainer)
        whole = (section.end_epoch + 1 - section.start_epoch) * trainer.steps_per_epoch - 1
        frequency = self._frequency(whole)
        if section.schedule == "constant" or first == last:
            return ConstantSparsity(section.target_sparsity, first, last, frequency)
        return PolynomialDecay(section.initial_sparsity, section.target_sparsity, first, last, frequency=frequency)
