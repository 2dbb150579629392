"""Layers that move, pick or pool values: inputs, pads, pools, reshapes; and dropout."""

from collections.abc import Callable
from typing import Any

from qatflow.graph.operations import (
    AveragePool,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Input,
    MaxPool,
    Operation,
    Pad,
    Reshape,
    UpSample,
)
from qatflow.models.keras.library import UntranslatableError, pair
from qatflow.models.keras.translation import Translate, Translation


def _one(make: Callable[[Any], Operation]) -> Translate:
    """Return the translation of a layer into one node without weights."""
    return lambda to, name, layer, sources: to.add(name, make(layer), sources)


def _dropout(layer: Any) -> Operation:
    if getattr(layer, "noise_shape", None) is not None:
        raise UntranslatableError("noise_shape; only dropout of single values is known")
    return Dropout(float(layer.rate))


def _up_sample(layer: Any) -> Operation:
    if layer.interpolation not in ("nearest", "bilinear"):
        raise UntranslatableError(f"interpolation {layer.interpolation}; known: nearest, bilinear")
    return UpSample(pair(layer.size), layer.interpolation == "bilinear")


def _input(layer: Any) -> Operation:
    shape = layer.input_shape[0][1:]
    if None in shape:
        raise UntranslatableError("its pictures have no fixed size; give a complete input_shape")
    if layer.dtype != "float32" or layer.sparse or layer.ragged:
        kind = "sparse or ragged tensors" if layer.sparse or layer.ragged else layer.dtype
        raise UntranslatableError(f"its pictures are {kind}; they must be float32")
    return Input(tuple(int(n) for n in shape))


def _pool(kind: type) -> Translate:
    return _one(lambda layer: kind(pair(layer.pool_size), pair(layer.strides), layer.padding))


def _reshape(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return to.add(name, Reshape(to.output_shape()), sources)


TRANSLATIONS: dict[str, Translate] = {
    "InputLayer": _one(_input),
    "ZeroPadding2D": _one(lambda layer: Pad(pair(layer.padding[0]), pair(layer.padding[1]))),
    "UpSampling2D": _one(_up_sample),
    "AveragePooling2D": _pool(AveragePool),
    "MaxPooling2D": _pool(MaxPool),
    "GlobalAveragePooling2D": _one(lambda layer: GlobalAveragePool(bool(layer.keepdims))),
    "GlobalMaxPooling2D": _one(lambda layer: GlobalMaxPool(bool(layer.keepdims))),
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Dropout": _one(_dropout),
    "SpatialDropout2D": _one(_dropout),
}
