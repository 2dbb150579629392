"""A teacher: the outputs of some of its layers for the training pictures, in inference mode."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from qatflow.data.manifest import Manifest
from qatflow.data.pipeline import evaluation_batches
from qatflow.graph.graph import Graph
from qatflow.training.keras_model import training_model
from qatflow.training.loss import Batch

KEPT = 500_000_000
"""Up to this many bytes, outputs are kept in memory where each epoch shows the same pictures."""


class Teacher:
    """A float network whose weights stay as they are."""

    def __init__(self, graph: Graph, layers: Sequence[str]):
        """Build its model.

        Args:
            graph: float.
            layers: names of the layers whose outputs are needed.
        """
        self._layers = tuple(dict.fromkeys(layers))
        self._keras = training_model(graph, seed=0, step=0).with_tensors(self._layers)
        self._kept: dict[str, Any] = {}

    def keep(self, data: Manifest, check: Callable[[], None]) -> bool:
        """Compute the outputs for all training pictures once, if they fit into `KEPT`; return whether they do.

        Args:
            data: whose pictures training shows unchanged.
            check: called before each batch; it may raise.
        """
        values = sum(int(np.prod(output.shape[1:])) for output in self._keras.outputs[1:])
        if values * 4 * data.splits["train"].count > KEPT:
            return False
        forward = tf.function(lambda pictures: self._of(pictures), autograph=False, reduce_retracing=True)
        parts: list[list[np.ndarray]] = []
        for pictures, _ in evaluation_batches(data, "train"):
            check()
            parts.append([output.numpy() for output in forward(pictures)])
        whole = [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
        self._kept = {name: tf.constant(outputs) for name, outputs in zip(self._layers, whole, strict=True)}
        return True

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """Return the outputs for a batch by the layer's name, float32 [n, …], without a gradient."""
        if self._kept:
            return {name: tf.gather(outputs, batch.positions) for name, outputs in self._kept.items()}
        return dict(zip(self._layers, map(tf.stop_gradient, self._of(batch.pictures)), strict=True))

    def _of(self, pictures: Any) -> list[Any]:
        _, *outputs = self._keras(pictures, training=False)
        return list(outputs)
