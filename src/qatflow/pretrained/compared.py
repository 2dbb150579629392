"""A graph compared with the Keras model it was made of: the same pictures, the same values in every layer.

What a layer's translation leaves out, or gets wrong, shows here before anything is trained. The .tflite that is written
of the graph is compared as well. TensorFlow must have been started.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.operations import Input
from qatflow.graph.shapes import shapes
from qatflow.models.from_keras import LayerOutput, Part, Translated
from qatflow.trial.start import float_model_outputs

LIMIT = 1e-4
"""Of the greatest value in a tensor: so far float32 may differ by the order in which it adds up."""
LEAST = 1e-6
"""A tensor whose values are all smaller counts as if its greatest were this."""
PICTURES = 2
SPREADS = (1.0, 30.0)
"""Of the random pictures, in the pictures' own: large values reach what bounds a tensor, such as a ReLU6."""


def check_same(keras: Any, translated: Translated, pictures: np.ndarray, seed: int = 0) -> None:
    """Raise where the graph computes other values than the Keras model in inference.

    Args:
        keras: the tf_keras model.
        translated: the graph made of it.
        pictures: of the data, prepared: float32 [n, height, width, channels]; some of them are used, and random ones.
        seed: of the random ones.

    Raises:
        UserError: it does; the first layer that differs is named, with how far. Or a layer makes values that are no
            finite numbers.
    """
    graph = translated.graph
    shapes(graph)  # it raises where the graph does not fit together
    place = {node.name: number for number, node in enumerate(graph.nodes)}
    layers = sorted((made for part in translated.parts for made in part.outputs), key=lambda made: place[made.node])
    originals, own = _Keras(translated.parts), _Own(graph, layers)
    wanted: list[tuple[np.ndarray, np.ndarray]] = []
    for picture in [*pictures[:PICTURES], *_random(graph, pictures, seed)]:
        batch = np.repeat(picture[None], keras.inputs[0].shape[0] or 1, axis=0)
        expected, found = originals.values(batch), own.values(picture)
        for made in layers:
            _compare(f"model {keras.name}: layer {made.layer}", found[made.node], expected[id(made.tensor)])
        wanted.append((picture, np.asarray(keras(batch, training=False))[0]))
        _compare(f"model {keras.name} as a whole", found[graph.outputs[0]], wanted[-1][1])
    written = float_model_outputs(graph, np.stack([picture for picture, _ in wanted]))
    for found_output, (_, output) in zip(written, wanted, strict=True):
        _compare(f"model {keras.name}, as its .tflite,", found_output, output)


def _compare(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    wrong = int(np.sum(~np.isfinite(expected)))
    if wrong:
        raise UserError(
            f"{what} makes values of a picture that are no finite numbers ({wrong} of {expected.size}): look at the "
            "weights of it and of the layers before it"
        )
    largest = float(np.abs(expected).max())
    most = float(np.abs(found.reshape(expected.shape) - expected).max())
    if not most <= LIMIT * max(largest, LEAST):
        raise UserError(
            f"{what} computes other values here than in Keras: they differ by up to {most:.3g}, and are up to "
            f"{largest:.3g}. Not all that it does is known here: replace it by layers of the known kinds"
        )


def _random(graph: Graph, pictures: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield random pictures of the spread of those of the data, and larger ones."""
    (shape,) = (node.operation.shape for node in graph.nodes if isinstance(node.operation, Input))
    random = np.random.default_rng(seed)
    spread = float(np.std(pictures)) if len(pictures) else 0.0
    for times in SPREADS:
        yield random.normal(0, times * (spread or 1.0), shape).astype(np.float32)


class _Keras:
    """The layers of a Keras model, executed by Keras."""

    def __init__(self, parts: Sequence[Part]):
        import tf_keras

        self._parts = [
            (part, tf_keras.Model(part.model.inputs, [made.tensor for made in part.outputs]))
            for part in parts
            if part.outputs
        ]

    def values(self, batch: np.ndarray) -> dict[int, np.ndarray]:
        """Return what each layer makes of the first picture of a batch, by the id of its tensor."""
        known: dict[int, Any] = {}
        for part, model in self._parts:
            inputs = batch if part.reads is None else known[id(part.reads)]
            known[id(part.model.inputs[0])] = inputs
            found = model(inputs, training=False)
            found = found if isinstance(found, list) else [found]
            known |= {id(made.tensor): value for made, value in zip(part.outputs, found, strict=True)}
        return {key: np.asarray(value)[0] for key, value in known.items()}


class _Own:
    """The nodes of a graph, executed as they are trained."""

    def __init__(self, graph: Graph, layers: Sequence[LayerOutput]):
        import tf_keras

        from qatflow.training.keras_model import training_model

        trained = training_model(graph, seed=0, step=0)
        self._names = list(dict.fromkeys((*(made.node for made in layers), graph.outputs[0])))
        self._model = tf_keras.Model(trained.keras.inputs, [trained.tensors[name] for name in self._names])
        self._graph, self._head = graph, head_of(graph)

    def values(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """Return the tensor of each node for a picture, by its name."""
        values = self._model(picture[None], training=False)
        found = {name: np.asarray(value)[0] for name, value in zip(self._names, values, strict=True)}
        # training leaves a last softmax or sigmoids out, and what is behind moves values alone
        name, end = self._graph.outputs[0], self._head.activation
        while end is not None and name in found:
            logits = found[name].reshape(-1).astype(np.float64)
            found[name] = _activated(logits, self._head.kind).reshape(found[name].shape)
            if name == end:
                break
            (name,) = self._graph.node(name).inputs
        return found


def _activated(logits: np.ndarray, kind: str | None) -> np.ndarray:
    if kind == "sigmoid":
        result: np.ndarray = 0.5 * (1 + np.tanh(logits / 2))
        return result
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
