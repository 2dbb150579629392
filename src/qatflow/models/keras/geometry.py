"""Layers that move, pick or pool values: inputs, pads, pools, reshapes; and dropout."""

from collections.abc import Callable
from typing import Any

from qatflow.graph.operations import (
    AveragePool,
    Crop,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Input,
    MaxPool,
    Operation,
    Pad,
    Permute,
    PictureDropout,
    Reshape,
    SpatialDropout,
    UpSample,
)
from qatflow.models.keras.library import UntranslatableError, pair
from qatflow.models.keras.translation import Translate, Translation


def _one(make: Callable[[Any], Operation]) -> Translate:
    """Return the translation of a layer into one node without weights."""
    return lambda to, name, layer, sources: to.add(name, make(layer), sources)


def _dropout(kind: type[Dropout]) -> Translate:
    def dropout(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
        shape, drops = getattr(layer, "noise_shape", None), kind
        if shape is not None:
            if shape[0] is not None or any(size != 1 for size in shape[1:]) or len(shape) != len(layer.input_shape):
                raise UntranslatableError("noise_shape; known is dropout of single values, and of whole pictures")
            drops = PictureDropout
        return to.add(name, Identity() if to.in_inference else drops(float(layer.rate)), sources)

    return dropout


def _up_sample(layer: Any) -> Operation:
    # enlarged by whole factors, each pixel's area lies within one of the input's
    if layer.interpolation not in ("nearest", "area", "bilinear"):
        raise UntranslatableError(f"interpolation {layer.interpolation}; known: nearest, area, bilinear")
    return UpSample(pair(layer.size), layer.interpolation == "bilinear")


def _input(layer: Any) -> Operation:
    shape = layer.input_shape[0][1:]
    if None in shape:
        raise UntranslatableError("its pictures have no fixed size; give a complete input_shape")
    if layer.dtype != "float32" or layer.sparse or layer.ragged:
        kind = "sparse or ragged tensors" if layer.sparse or layer.ragged else layer.dtype
        raise UntranslatableError(f"its pictures are {kind}; they must be float32")
    return Input(tuple(int(n) for n in shape))


def _average_pool(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    """Add a mean over windows; one over the whole picture has a kernel that need not write on the input's grid."""
    window, picture = pair(layer.pool_size), to.input_shape()[:2]
    whole = to.output_shape()[:2] == (1, 1) and all(w >= size for w, size in zip(window, picture, strict=True))
    operation = GlobalAveragePool(True) if whole else AveragePool(window, pair(layer.strides), layer.padding)
    return to.add(name, operation, sources)


def _global_1d(kind: type[GlobalAveragePool | GlobalMaxPool]) -> Translate:
    def pool(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
        """Add a pool over the rows of a matrix, which is a picture one pixel wide."""
        rows, channels = to.input_shape()
        picture = to.add(f"{name}/picture", Reshape((rows, 1, channels)), sources)
        if not layer.keepdims:
            return to.add(name, kind(keepdims=False), (picture,))
        return to.add(name, Reshape((1, channels)), (to.add(f"{name}/pixel", kind(keepdims=True), (picture,)),))

    return pool


def _permute(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    """Add a transpose; one that only moves axes of length 1 is a reshape."""
    axes, shape = tuple(int(axis) - 1 for axis in layer.dims), to.input_shape()
    long = [axis for axis in axes if shape[axis] > 1]
    made: Operation = Permute(axes) if long != sorted(long) else Reshape(tuple(shape[axis] for axis in axes))
    return to.add(name, made, sources)


def _reshape(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return to.add(name, Reshape(to.output_shape()), sources)


TRANSLATIONS: dict[str, Translate] = {
    "InputLayer": _one(_input),
    "ZeroPadding2D": _one(lambda layer: Pad(pair(layer.padding[0]), pair(layer.padding[1]))),
    "UpSampling2D": _one(_up_sample),
    "Cropping2D": _one(lambda layer: Crop(pair(layer.cropping[0]), pair(layer.cropping[1]))),
    "Permute": _permute,
    "AveragePooling2D": _average_pool,
    "MaxPooling2D": _one(lambda layer: MaxPool(pair(layer.pool_size), pair(layer.strides), layer.padding)),
    "GlobalAveragePooling1D": _global_1d(GlobalAveragePool),
    "GlobalMaxPooling1D": _global_1d(GlobalMaxPool),
    "GlobalAveragePooling2D": _one(lambda layer: GlobalAveragePool(bool(layer.keepdims))),
    "GlobalMaxPooling2D": _one(lambda layer: GlobalMaxPool(bool(layer.keepdims))),
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Dropout": _dropout(Dropout),
    "SpatialDropout2D": _dropout(SpatialDropout),
}
