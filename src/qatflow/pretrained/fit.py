"""Fits saved weights to the layers of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np

from qatflow.base.errors import UserError


class LayerWeights(Protocol):
    """A saved layer with its weights, such as `h5_file.SavedLayer`."""

    @property
    def name(self) -> str:
        """Name of the layer in the file."""

    @property
    def weights(self) -> Sequence[Any]:
        """Arrays, or what numpy makes one of; each has its `shape`."""


class NotFiniteError(UserError):
    """The weights fit, but have NaN or infinite values."""


@dataclass(frozen=True)
class Expected:
    """A layer of the model that has weights.

    Attributes:
        name: of the layer.
        roles: of its weights (`kernel`, `bias`, `gamma`, …), in the order in which Keras saves them.
        shapes: of its weights.
    """

    name: str
    roles: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


def fit(expected: Sequence[Expected], layers: Sequence[LayerWeights]) -> list[list[np.ndarray]]:
    """Return the weights of each layer of the model, float32, layer by layer in order and weight by weight.

    Args:
        expected: the model's layers that have weights, in order.
        layers: the saved layers, in order.

    Raises:
        NotFiniteError: a weight has values that are NaN or infinite.
        UserError: they do not fit; names the first layer that does not, with both shapes.
    """
    weights = []
    for wanted, layer in zip_longest(expected, layers):
        shapes = [] if wanted is None else list(wanted.shapes)
        saved = [] if layer is None else [tuple(weight.shape) for weight in layer.weights]
        if wanted is None or shapes != saved:
            raise UserError(_mismatch(wanted, layer, shapes, saved))
        weights.append([np.asarray(weight, np.float32) for weight in layer.weights])
        for role, values in zip(wanted.roles, weights[-1], strict=True):
            if wrong := int(np.sum(~np.isfinite(values))):
                raise NotFiniteError(
                    f"{wanted.name}/{role} has values that are NaN or infinite ({wrong} of {values.size}): take the "
                    "weights from before their training failed"
                )
    return weights


def _mismatch(wanted: Expected | None, layer: LayerWeights | None, expected: list, saved: list) -> str:
    if layer is None:
        assert wanted is not None
        return f"layer {wanted.name} has shape {_shapes(expected)} in the model, and the file has no layer for it"
    if wanted is None:
        return f"the file's layer {layer.name} has shape {_shapes(saved)}, and the model has no layer for it"
    if len(expected) != len(saved):
        return (
            f"layer {wanted.name} has weights of shape {_shapes(expected)} in the model, and {_shapes(saved)} in the "
            f"file's layer {layer.name}"
        )
    place = next(i for i, pair in enumerate(zip(expected, saved, strict=True)) if pair[0] != pair[1])
    return (
        f"layer {wanted.name}: its {wanted.roles[place]} has shape {expected[place]} in the model, and {saved[place]} "
        f"in the file's layer {layer.name}"
    )


def _shapes(shapes: list) -> str:
    return ", ".join(map(str, shapes))
