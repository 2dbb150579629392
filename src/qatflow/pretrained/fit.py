"""Saved weights held against a model of the same layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np

from qatflow.base.errors import UserError


class Layer(Protocol):
    """A layer with its weights, as `h5_file.SavedLayer`."""

    @property
    def name(self) -> str:
        """Of the layer, where it was saved."""

    @property
    def weights(self) -> Sequence[Any]:
        """Arrays, or what becomes one when it is asked for; each with its `shape`."""


class NotFiniteError(UserError):
    """Weights that fit, but hold NaN or infinite values."""


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


def fit(expected: Sequence[Expected], layers: Sequence[Layer]) -> list[list[np.ndarray]]:
    """Return the weights of each layer of the model, float32, layer by layer in order and weight by weight.

    Args:
        expected: the model's layers that have weights, in order.
        layers: the saved ones.

    Raises:
        NotFiniteError: a weight has values that are NaN or infinite.
        UserError: they do not fit; names the first layer that does not, and the shapes of both.
    """
    found = []
    for wanted, layer in zip_longest(expected, layers):
        shapes = [] if wanted is None else list(wanted.shapes)
        saved = [] if layer is None else [tuple(weight.shape) for weight in layer.weights]
        if wanted is None or shapes != saved:
            raise UserError(_mismatch(wanted, layer, shapes, saved))
        found.append([np.asarray(weight, np.float32) for weight in layer.weights])
        for role, values in zip(wanted.roles, found[-1], strict=True):
            if wrong := int(np.sum(~np.isfinite(values))):
                raise NotFiniteError(
                    f"{wanted.name}/{role} has values that are NaN or infinite ({wrong} of {values.size}): take the "
                    "weights from before their training failed"
                )
    return found


def _mismatch(wanted: Expected | None, layer: Layer | None, expected: list, found: list) -> str:
    if layer is None:
        assert wanted is not None
        return f"layer {wanted.name} has shape {_shapes(expected)} in the model, and the file has no layer for it"
    if wanted is None:
        return f"the file's layer {layer.name} has shape {_shapes(found)}, and the model has no layer for it"
    if len(expected) != len(found):
        return (
            f"layer {wanted.name} has weights of shape {_shapes(expected)} in the model, and {_shapes(found)} in the "
            f"file's layer {layer.name}"
        )
    place = next(i for i, pair in enumerate(zip(expected, found, strict=True)) if pair[0] != pair[1])
    return (
        f"layer {wanted.name}: its {wanted.roles[place]} has shape {expected[place]} in the model, and {found[place]} "
        f"in the file's layer {layer.name}"
    )


def _shapes(shapes: list) -> str:
    return ", ".join(map(str, shapes))
