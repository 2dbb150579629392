"""Saved weights put into a graph of the same layers."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np

from qatflow.errors import UserError
from qatflow.graph.graph import Graph, Node


class Layer(Protocol):
    """A layer with its weights, as `h5_file.SavedLayer`."""

    @property
    def name(self) -> str:
        """Of the layer, where it was saved."""

    @property
    def weights(self) -> Sequence[Any]:
        """Arrays, or what becomes one when it is asked for; each with its `shape`."""


def fit(graph: Graph, layers: Sequence[Layer]) -> Graph:
    """Return the graph with these weights, layer by layer in order and weight by weight, as Keras saves them.

    Args:
        graph: whose weights (float32) are replaced.
        layers: those that have weights, in the graph's order.

    Raises:
        UserError: they do not fit; names the first layer that does not, and the shapes of both.
    """
    weights = dict(graph.weights)
    for node, layer in zip_longest(layers_with_weights(graph), layers):
        roles = [] if node is None else _roles(graph, node)
        expected = [tuple(graph.weights[role].shape) for role in roles]
        found = [] if layer is None else [tuple(weight.shape) for weight in layer.weights]
        if expected != found:
            raise UserError(_mismatch(node, layer, roles, expected, found))
        for role, weight in zip(roles, layer.weights, strict=True):
            weights[role] = np.asarray(weight, np.float32)
            if not np.isfinite(weights[role]).all():
                raise UserError(f"{role} holds values that are no finite numbers")
    return replace(graph, weights=weights)


def layers_with_weights(graph: Graph) -> list[Node]:
    """Return the nodes that have weights, in order."""
    return [node for node in graph.nodes if _roles(graph, node)]


def _roles(graph: Graph, node: Node) -> list[str]:
    return [name for name in graph.weights if name.rsplit("/", 1)[0] == node.name]


def _mismatch(node: Node | None, layer: Layer | None, roles: list[str], expected: list, found: list) -> str:
    if layer is None:
        assert node is not None
        return f"layer {node.name} has shape {_shapes(expected)} in the model, and the file has no layer for it"
    if node is None:
        return f"the file's layer {layer.name} has shape {_shapes(found)}, and the model has no layer for it"
    if len(expected) != len(found):
        return (
            f"layer {node.name} has weights of shape {_shapes(expected)} in the model, and {_shapes(found)} in the "
            f"file's layer {layer.name}"
        )
    place = next(i for i, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1])
    role = roles[place].rsplit("/", 1)[1]
    return (
        f"layer {node.name}: its {role} has shape {expected[place]} in the model, and {found[place]} in the file's "
        f"layer {layer.name}"
    )


def _shapes(shapes: list) -> str:
    return ", ".join(map(str, shapes))
