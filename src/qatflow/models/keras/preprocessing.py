"""Layers in front of a network: rescaling of the pictures, and augmentation, which does nothing outside of training."""

from typing import Any

import numpy as np

from qatflow.graph.operations import PASS_THROUGH, Crop, DepthwiseConv2D, Identity, Input, Rescale, Resize
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
    """Add x · factor + offset: of the pictures in float; of anything else as a 1 × 1 depthwise convolution in int8."""
    channels = to.output_shape()[-1]
    vectors = []
    for value in (factor, offset):
        if np.size(value) not in (1, np.shape(value)[-1] if np.ndim(value) else 1) or np.size(value) not in (
            1,
            channels,
        ):
            raise UntranslatableError(f"has numbers of the shape {np.shape(value)}; known: one, or one a channel")
        vectors.append(np.broadcast_to(np.asarray(value, np.float32).reshape(-1), channels))
    if _is_picture(to, sources[0]):
        return to.add(name, Rescale(), sources, {"factor": vectors[0], "offset": vectors[1]})
    weights = {"depthwise_kernel": vectors[0].reshape(1, 1, channels, 1), "bias": vectors[1]}
    return to.add(name, DepthwiseConv2D((1, 1), "valid"), sources, weights)


def _is_picture(to: Translation, name: str) -> bool:
    """Return whether a node gives the pictures themselves: moved, resized or rescaled, but not computed with."""
    node = next((node for node in to.nodes if node.name == name), None)
    if node is None:  # it could not be translated, which is a problem of its own
        return False
    if isinstance(node.operation, (Rescale, *PASS_THROUGH)):
        return _is_picture(to, node.inputs[0])
    return isinstance(node.operation, Input)


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
    height, width = to.input_shape()[:2]
    if height * layer.width != width * layer.height:
        raise UntranslatableError("crops in inference, too, where the sides have another ratio; use Resizing")
    return to.add(name, Resize(int(layer.height), int(layer.width), bilinear=True), sources)


TRANSLATIONS: dict[str, Translate] = {
    **dict.fromkeys(AUGMENTING, _nothing),
    "RandomCrop": _random_crop,
    "CenterCrop": _center_crop,
    "Resizing": _resizing,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
}
