"""The ranges of a float graph's tensors over pictures, as LiteRT computes them: no TensorFlow is needed."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import ActivationScale, Graph
from qatflow.graph.passes import run_all
from qatflow.tflite.lower import lower
from qatflow.tflite.tensors import Tensors


class FloatTensors:
    """The .tflite model of a float graph, of which some nodes' tensors can be read."""

    def __init__(self, graph: Graph, tensors: Collection[str]):
        """Load the model.

        Args:
            graph: float.
            tensors: names of the nodes; each must be the last of those that the device computes together.

        Raises:
            UserError: the run-time has no kernel for an operation; all such nodes are listed.
        """
        folded, self._names = _after_passes(graph, tensors)
        self._model = Tensors(lower(folded, "qatflow"))

    def values(self, picture: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield name and values, float32 with the batch of 1, of each tensor for a picture, in the graph's order.

        Raises:
            UserError: a tensor holds values that are not finite numbers.
        """
        self._model.run(picture)
        for name, tensor in self._names.items():
            values = self._model.value(tensor)
            _check(name, values)
            yield name, values


def float_ranges(graph: Graph, tensors: Collection[str], pictures: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of some tensors, by node name.

    Args:
        graph: float.
        tensors: names of the nodes; each must be the last of those that the device computes together.
        pictures: float32 [n, height, width, channels].

    Raises:
        UserError: the run-time has no kernel for an operation (all such nodes are listed), or a tensor holds values
            that are not finite numbers.
    """
    model = FloatTensors(graph, tensors)
    ranges: dict[str, tuple[float, float]] = {}
    for picture in pictures:
        for name, values in model.values(picture):
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges


def names_on_device(graph: Graph, tensors: Collection[str]) -> dict[str, str]:
    """Return the name that each of some nodes' tensors has in the .tflite model, by the node's name.

    Args:
        graph: float.
        tensors: names of the nodes; each must be the last of those that the device computes together.
    """
    return _after_passes(graph, tensors)[1]


def _after_passes(graph: Graph, tensors: Collection[str]) -> tuple[Graph, dict[str, str]]:
    """Return the graph after the passes, and the names that nodes' tensors have there, in the graph's order."""
    # a scale object for each tensor, by which it is recognised after the passes have renamed it
    marks = {name: ActivationScale(8, 1.0) for name in tensors}
    folded, _ = run_all(replace(graph, activation_scales=marks))
    names = {id(mark): name for name, mark in folded.activation_scales.items()}
    after = {node.name: names[id(marks[node.name])] for node in graph.nodes if node.name in marks}
    return replace(folded, activation_scales={}), after


def _check(name: str, values: np.ndarray) -> None:
    # LiteRT's kernels clip infinity to the largest number; NaN is not less than that either
    if not np.abs(values).max() < np.finfo(np.float32).max:
        raise UserError(
            f"{name} computes values that are not finite numbers, in float and for pictures of the data: look at the "
            "weights up to that layer"
        )
