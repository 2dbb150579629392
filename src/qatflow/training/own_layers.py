"""Layers of the training model that Keras has not in this form: other weights, or another gradient."""

from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras import layers

from qatflow.graph.kinds import Shape, kind_of
from qatflow.graph.operations import Conv2DTranspose, Crop, Pad, Resize


class TransposedConv2D(layers.Layer):
    """A transposed convolution whose kernel has its output channels last, as all kernels of a graph have."""

    def __init__(self, operation: Conv2DTranspose, kernel: Shape, use_bias: bool, name: str):
        """Set up the layer.

        Args:
            operation: strides and padding.
            kernel: shape of the kernel, [height, width, in, out].
            use_bias: whether there is a bias.
            name: the layer's name.
        """
        super().__init__(name=name)
        self._operation, self._shape, self._use_bias = operation, kernel, use_bias

    def build(self, input_shape: Any) -> None:
        """Make the weights."""
        self.kernel = self.add_weight("kernel", self._shape)
        self.bias = self.add_weight("bias", self._shape[3:]) if self._use_bias else None
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return [n, height, width, channels]."""
        o = self._operation
        size = kind_of(o).shape(o, [tuple(inputs.shape[1:])], self._shape)
        shape = tf.stack([tf.shape(inputs)[0], *size])
        kernel = tf.transpose(self.kernel, [0, 1, 3, 2])
        pictures = tf.nn.conv2d_transpose(inputs, kernel, shape, o.strides, o.padding.upper())
        pictures = tf.ensure_shape(pictures, [None, *size])
        return pictures if self.bias is None else tf.nn.bias_add(pictures, self.bias)


class Rescaled(layers.Layer):
    """x · factor + offset per channel; both are constants."""

    def build(self, input_shape: Any) -> None:
        """Make the weights, which are not trained."""
        self.factor, self.offset = (
            self.add_weight(role, [input_shape[-1]], trainable=False) for role in ("factor", "offset")
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Return the values in another scale, in the inputs' shape."""
        return inputs * self.factor + self.offset


def cropped(pictures: Any, o: Crop) -> Any:
    """Return part of [n, height, width, channels]."""
    (top, bottom), (left, right), (first, last) = o.rows, o.columns, o.channels
    height, width, channels = pictures.shape[1:]
    return pictures[:, top : height - bottom, left : width - right, first : channels - last]


def padded_with_lowest(pictures: Any, o: Pad) -> Any:
    """Return [n, height, width, channels] with the lowest number of its type around each picture."""
    return tf.pad(pictures, [(0, 0), o.rows, o.columns, (0, 0)], constant_values=pictures.dtype.min)


def resized(pictures: Any, o: Resize) -> Any:
    """Return [n, height, width, channels] in another size.

    Two matrix products: their gradient has a deterministic form on a GPU, which that of `tf.image.resize` has not.
    """
    rows, columns = (
        tf.constant(_shares(size, wanted, o.bilinear), pictures.dtype)
        for size, wanted in zip(pictures.shape[1:3], (o.height, o.width), strict=True)
    )
    return tf.einsum("ah,nhwc,bw->nabc", rows, pictures, columns)


def _shares(size: int, wanted: int, bilinear: bool) -> np.ndarray:
    """Return how much of each pixel along a side goes into each wanted one, float32 [wanted, size]."""
    centres = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * np.float32(size / wanted)
    if not bilinear:
        return np.eye(size, dtype=np.float32)[np.minimum(np.floor(centres).astype(int), size - 1)]
    places = np.clip(centres - np.float32(0.5), 0, size - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size, dtype=np.float32)))
