"""Norms over channels, and the layers of ConvNeXt and InceptionResNetV2 that scale."""

from typing import Any

import numpy as np

from qatflow.graph.operations import Add, DepthwiseConv2D, GroupNorm, LayerNorm, Operation, PictureDropout, UnitNorm
from qatflow.models.keras.library import UntranslatableError, weights_of
from qatflow.models.keras.translation import Translate, Translation


def _over_last(layer: Any, rank: int) -> None:
    """Raise unless a layer's axes are the last one alone; `rank` is that of its tensors, without the batch."""
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if axes not in ([-1], [rank]):
        raise UntranslatableError(f"axis {layer.axis}: only the last axis is known")


def _normed(to: Translation, name: str, operation: Operation, layer: Any, sources: tuple[str, ...]) -> str:
    channels = to.output_shape()[-1]
    weights = {"gamma": np.ones(channels), "beta": np.zeros(channels), **weights_of(layer)}
    return to.add(name, operation, sources, weights)


def _layer_norm(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    _over_last(layer, to.rank)
    return _normed(to, name, LayerNorm(float(layer.epsilon)), layer, sources)


def _group_norm(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    _over_last(layer, to.rank)
    groups = to.output_shape()[-1] if layer.groups == -1 else int(layer.groups)
    return _normed(to, name, GroupNorm(groups, float(layer.epsilon)), layer, sources)


def _unit_norm(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    _over_last(layer, to.rank)
    return to.add(name, UnitNorm(), sources)


def _times(to: Translation, name: str, factors: np.ndarray, source: str) -> str:
    """Add a product with a factor for each channel, as a 1 × 1 depthwise convolution."""
    return to.add(name, DepthwiseConv2D((1, 1), "valid"), (source,), {"depthwise_kernel": factors.reshape(1, 1, -1, 1)})


def _layer_scale(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return _times(to, name, layer.gamma.numpy(), sources[0])


def _scaled_sum(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    factors = np.full(to.output_shape()[-1], layer.scale)
    return to.add(name, Add(), (sources[0], _times(to, f"{name}/scaled", factors, sources[1])))


TRANSLATIONS: dict[str, Translate] = {
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "UnitNormalization": _unit_norm,
    "LayerScale": _layer_scale,
    "StochasticDepth": lambda to, name, layer, sources: to.add(
        name, PictureDropout(float(layer.drop_path_rate)), sources
    ),
    "CustomScaleLayer": _scaled_sum,
}
