"""Layers with weights: convolutions, dense layers and batch-norm, and what becomes one of them."""

from typing import Any

import numpy as np

from qatflow.graph.operations import BatchNorm, Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D
from qatflow.models.keras.activations import activated
from qatflow.models.keras.library import UntranslatableError, pair, weights_of
from qatflow.models.keras.translation import Translate, Translation


def _conv(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    slides = (pair(layer.strides), layer.padding, pair(layer.dilation_rate))
    weights = weights_of(layer)
    height, width, reads, makes = weights["kernel"].shape
    # TensorFlow's depthwise convolution has one stride for rows and columns
    if reads > 1 or layer.groups == 1 or layer.strides[0] != layer.strides[1]:
        return activated(to, to.add(name, Conv2D(*slides, groups=layer.groups), sources, weights), layer)
    # each channel is a group of its own
    kernel = weights.pop("kernel").reshape(height, width, layer.groups, makes // layer.groups)
    return activated(
        to, to.add(name, DepthwiseConv2D(*slides), sources, {"depthwise_kernel": kernel, **weights}), layer
    )


def _conv_transpose(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer.output_padding is not None or pair(layer.dilation_rate) != (1, 1):
        raise UntranslatableError("output_padding and dilation_rate are not known")
    weights = weights_of(layer)
    weights["kernel"] = weights["kernel"].transpose(0, 1, 3, 2)  # the output channels come last in every graph
    operation = Conv2DTranspose(pair(layer.strides), layer.padding)
    return activated(to, to.add(name, operation, sources, weights), layer)


def _depthwise(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    operation = DepthwiseConv2D(pair(layer.strides), layer.padding, pair(layer.dilation_rate))
    return activated(to, to.add(name, operation, sources, weights_of(layer)), layer)


def _separable(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    weights = weights_of(layer)
    first = DepthwiseConv2D(pair(layer.strides), layer.padding, pair(layer.dilation_rate))
    spatial = {"depthwise_kernel": weights.pop("depthwise_kernel")}
    pointwise = {"kernel": weights.pop("pointwise_kernel"), **weights}
    middle = to.add(f"{name}/depthwise", first, sources, spatial)
    return activated(to, to.add(name, Conv2D((1, 1), "valid"), (middle,), pointwise), layer)


def _dense(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return activated(to, to.add(name, Dense(), sources, weights_of(layer)), layer)


def _batch_norm(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if tuple(layer.axis) != (layer.input_spec.ndim - 1,):
        raise UntranslatableError("batch-norm must be over the last axis")
    rank = layer.input_spec.ndim
    if rank not in (2, 4):
        raise UntranslatableError(f"reads tensors of rank {rank}; only pictures and vectors are known")
    if layer.renorm or layer.virtual_batch_size is not None or layer.adjustment is not None:
        raise UntranslatableError("renorm, virtual_batch_size and adjustment are not known")
    weights = weights_of(layer)
    channels = weights["moving_mean"].shape
    weights = {"gamma": np.ones(channels), "beta": np.zeros(channels), **weights}  # center=False or scale=False
    return to.add(name, BatchNorm(float(layer.epsilon), float(to.momentum or layer.momentum)), sources, weights)


TRANSLATIONS: dict[str, Translate] = {
    "Conv2D": _conv,
    "Conv2DTranspose": _conv_transpose,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
}
