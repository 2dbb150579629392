"""Compares a graph with the Keras model it was made from: the same pictures must give the same values in every layer.

Anything that the translation of a layer misses shows here, before training. The .tflite of the graph is compared as
well. TensorFlow must have been started.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.operations import Input
from qatflow.graph.shapes import shapes
from qatflow.models.from_keras import Translated
from qatflow.models.keras.translation import Part
from qatflow.trial.start import float_model_outputs

LIMIT = 1e-4
"""Largest difference, relative to the greatest value of a tensor: float32 sums depend on the order of addition."""
LIMIT_OF_FILE = 1e-3
"""The same for the .tflite as a whole, whose kernels add in another order in every layer, with batch-norm folded: in
deep networks Keras' own float32 is up to 5e-4 away from float64 (benchmarks/zoo.md)."""
LEAST = 1e-6
"""Lower bound of that greatest value, for tensors that are almost zero."""
PICTURES = 2
SPREADS = (1.0, 30.0)
"""Spreads of the random pictures, as multiples of the data's: large values reach bounds such as a ReLU6."""


def check_same(keras: Any, translated: Translated, pictures: np.ndarray, seed: int = 0) -> None:
    """Raise if the graph computes other values than the Keras model in inference.

    Args:
        keras: the tf_keras model.
        translated: the graph made from it.
        pictures: prepared pictures of the data, float32 [n, height, width, channels]; some are used, and random ones.
        seed: of the random ones.

    Raises:
        UserError: it does; names the first layer that differs, and by how much. Or a layer computes values that are
            not finite.
    """
    graph = translated.graph
    shapes(graph)  # raises if the graph does not fit together
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    layers = [layer for part in translated.parts for layer in part.outputs]
    layers.sort(key=lambda layer: place[layer.node])
    original, own = _KerasLayers(translated.parts), GraphLayers(graph, [layer.node for layer in layers])
    outputs: list[tuple[np.ndarray, np.ndarray]] = []
    for picture in [*pictures[:PICTURES], *random_pictures(graph, pictures, seed)]:
        batch = np.repeat(picture[None], keras.inputs[0].shape[0] or 1, axis=0)
        expected, actual = original.values(batch), own.values(picture)
        for layer in layers:
            compare(f"model {keras.name}: layer {layer.layer}", actual[layer.node], expected[id(layer)])
        outputs.append((picture, np.asarray(keras(batch, training=False))[0]))
        compare(f"model {keras.name} as a whole", actual[graph.outputs[0]], outputs[-1][1])
    written = float_model_outputs(graph, np.stack([picture for picture, _ in outputs]))
    for tflite_output, (_, output) in zip(written, outputs, strict=True):
        compare(f"model {keras.name}, as its .tflite,", tflite_output, output, limit=LIMIT_OF_FILE)


def compare(
    name: str, actual: np.ndarray, expected: np.ndarray, origin: str = "in Keras", limit: float = LIMIT
) -> None:
    """Raise if a tensor has other values here than in the original model, or ones that are not finite."""
    wrong = int(np.sum(~np.isfinite(expected)))
    if wrong:
        raise UserError(
            f"{name} computes values of a picture that are not finite ({wrong} of {expected.size}): look at its "
            "weights and those of the layers before it"
        )
    largest = float(np.abs(expected).max())
    most = float(np.abs(actual.reshape(expected.shape) - expected).max())
    if not most <= limit * max(largest, LEAST):
        raise UserError(
            f"{name} computes other values here than {origin}: they differ by up to {most:.3g}, and are up to "
            f"{largest:.3g}. It does something that is not supported here: replace it by supported layers"
        )


def random_pictures(graph: Graph, pictures: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield random pictures with the spread of the data, and with larger ones."""
    (shape,) = (node.operation.shape for node in graph.nodes if isinstance(node.operation, Input))
    random = np.random.default_rng(seed)
    spread = float(np.std(pictures)) if len(pictures) else 0.0
    for times in SPREADS:
        yield random.normal(0, times * (spread or 1.0), shape).astype(np.float32)


class _KerasLayers:
    """The layers of a Keras model, executed by Keras."""

    def __init__(self, parts: Sequence[Part]):
        import tf_keras

        self._parts = [
            (part, tf_keras.Model(part.model.inputs, [layer.tensor for layer in part.outputs]))
            for part in parts
            if part.outputs
        ]

    def values(self, batch: np.ndarray) -> dict[int, np.ndarray]:
        """Return the output of each layer for the first picture of a batch, by the id of its `LayerOutput`."""
        known: dict[int, Any] = {}  # by the id of the tensor; a model that is used twice computes its tensors twice
        outputs: dict[int, Any] = {}
        for part, model in self._parts:
            inputs = batch if part.reads is None else known[id(part.reads)]
            known[id(part.model.inputs[0])] = inputs
            values = model(inputs, training=False)
            values = values if isinstance(values, list) else [values]
            for layer, value in zip(part.outputs, values, strict=True):
                known[id(layer.tensor)] = outputs[id(layer)] = value
        return {key: np.asarray(value)[0] for key, value in outputs.items()}


class GraphLayers:
    """The nodes of a graph, executed by the Keras model that is trained."""

    def __init__(self, graph: Graph, nodes: Sequence[str]):
        import tf_keras

        from qatflow.training.keras_model import training_model

        trained = training_model(graph, seed=0, step=0)
        self._names = list(dict.fromkeys((*nodes, graph.outputs[0])))
        self._model = tf_keras.Model(trained.keras.inputs, [trained.tensors[name] for name in self._names])
        self._graph, self._head = graph, head_of(graph)

    def values(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Return the output of each node for a picture, by the node's name."""
        values = self._model(picture[None], training=False)
        outputs = {name: np.asarray(value)[0] for name, value in zip(self._names, values, strict=True)}
        # training leaves out a final softmax or sigmoids; what is behind them only moves values
        name, end = self._graph.outputs[0], self._head.activation
        while end is not None and name in outputs:
            logits = outputs[name].reshape(-1).astype(np.float64)
            outputs[name] = _activated(logits, self._head.kind).reshape(outputs[name].shape)
            if name == end:
                break
            (name,) = self._graph.node(name).inputs
        return outputs


def _activated(logits: np.ndarray, kind: str | None) -> np.ndarray:
    if kind == "sigmoid":
        result: np.ndarray = 0.5 * (1 + np.tanh(logits / 2))
        return result
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
