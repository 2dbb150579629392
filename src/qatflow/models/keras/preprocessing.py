"""Layers in front of a network: rescaling of the pictures, and augmentation, which does nothing outside of training."""

from typing import Any

import numpy as np

from qatflow.graph.operations import Crop, Identity, Rescale, Resize
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import Translate, Translation

AUGMENTING = (
    "RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "RandomContrast", "RandomBrightness",
    "RandomHeight", "RandomWidth", "GaussianNoise", "GaussianDropout", "AlphaDropout",
)  # fmt: skip
"""Layers that change values at random in training, and otherwise do nothing."""


def _nothing(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return to.add(name, Identity(), sources)


def _rescaling(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return _rescaled(to, name, sources, layer.scale, layer.offset)


def _normalization(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer._keep_axis not in ([], [to.rank]):
        raise UntranslatableError(f"axis={layer.axis}; it must be the last axis alone, or None")
    from tf_keras import backend

    # what the layer computes with; its weights alone need not be in use yet
    mean, variance = (np.asarray(values, np.float64).reshape(-1) for values in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), backend.epsilon())
    if layer.invert:
        return _rescaled(to, name, sources, deviation, mean)
    return _rescaled(to, name, sources, 1 / deviation, -mean / deviation)


def _rescaled(to: Translation, name: str, sources: tuple[str, ...], factor: Any, offset: Any) -> str:
    channels, vectors = to.output_shape()[-1], {}
    for role, value in (("factor", factor), ("offset", offset)):
        if np.size(value) != 1 and (np.size(value) != channels or np.shape(value)[-1] != channels):
            raise UntranslatableError(f"has numbers of the shape {np.shape(value)}; known: one, or one a channel")
        vectors[role] = np.broadcast_to(np.asarray(value, np.float32).reshape(-1), channels)
    return to.add(name, Rescale(), sources, vectors)


def _resizing(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer.interpolation not in ("nearest", "bilinear"):
        raise UntranslatableError(f"interpolation {layer.interpolation}; known: nearest, bilinear")
    if layer.crop_to_aspect_ratio:
        raise UntranslatableError("crop_to_aspect_ratio; crop in front of it")
    return to.add(name, Resize(int(layer.height), int(layer.width), layer.interpolation == "bilinear"), sources)


def _center_crop(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    height, width = (
        size - wanted for size, wanted in zip(to.input_shape()[:2], (layer.height, layer.width), strict=True)
    )
    if min(height, width) < 0:
        raise UntranslatableError("is larger than its input, so it resizes; use Resizing")
    return to.add(name, Crop((height // 2, height - height // 2), (width // 2, width - width // 2)), sources)


def _random_crop(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    """Add what it does outside of training: the largest part with the wanted ratio, resized (Keras' smart_resize)."""
    shape, wanted = to.input_shape()[:2], (int(layer.height), int(layer.width))
    if shape == wanted:
        return to.add(name, Identity(), sources)
    kept = [
        min(shape[axis], int(np.float32(shape[1 - axis] * wanted[axis]) / np.float32(wanted[1 - axis])))
        for axis in (0, 1)
    ]
    if min(kept) < 1:
        raise UntranslatableError("leaves no pixel of its pictures")
    cut = [((size - part) // 2, size - part - (size - part) // 2) for size, part in zip(shape, kept, strict=True)]
    if any(map(any, cut)):
        sources = (to.add(f"{name}/crop" if tuple(kept) != wanted else name, Crop(cut[0], cut[1]), sources),)
    return sources[0] if tuple(kept) == wanted else to.add(name, Resize(*wanted, bilinear=True), sources)


TRANSLATIONS: dict[str, Translate] = {
    **dict.fromkeys(AUGMENTING, _nothing),
    "RandomCrop": _random_crop,
    "CenterCrop": _center_crop,
    "Resizing": _resizing,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
}
