"""Fake quantisation: values rounded to the grid of the integers, gradients passed straight through.

The grid of weights is symmetric with zero point 0, as in PaddleSlim's fake_quantize operations:
scale = max|x| / (2^(bits−1) − 1). That of activations is the same unless they cannot be negative
(`quantisation/grids.py`). A weight uses the integers −127 … 127 (8 bits); an activation −128 … 127, since the device's
int8 kernels saturate there. TensorFlow's fused operations round half up after shifting by the lower end, and their
gradient is 1 inside the range and 0 outside.
"""

from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf

from qatflow.quantisation.grids import SMALLEST, Fit


@dataclass
class Phase:
    """What all quantisers of a model are doing; read when TensorFlow traces them, so that a change needs a new trace.

    Attributes:
        mode: `float`: pass everything through; `calibrate`: pass everything through and gather activation ranges;
            `count`: pass everything through, and count the values within these ranges where the calibration method
            needs that; `quantise`: fake-quantise weights and activations.
    """

    mode: Literal["float", "calibrate", "count", "quantise"] = "float"


def weight_scale(kernel: Any, bits: int, channels: int | None) -> Any:
    """Return the scale of a kernel, float32 [1], or [channels] when `channels` is given.

    Args:
        kernel: float32, output channels in the last axes.
        bits: width of the integers.
        channels: number of output channels, for a scale per channel (`channel_wise_abs_max`); None for one scale.
    """
    flat = tf.reshape(kernel, [-1, channels or 1])
    greatest = tf.maximum(tf.reduce_max(flat, axis=0), -tf.reduce_min(flat, axis=0))
    return tf.maximum(greatest, SMALLEST) / largest(bits)


def fake_quant_weight(kernel: Any, bits: int, channels: int | None) -> Any:
    """Return the kernel on the grid of its own scale, same shape; see `weight_scale`.

    The gradient is 1 everywhere: the scale comes from the largest value, so that no value lies outside the range.
    TensorFlow's own operation would also sum up the gradients of the ends of the range, which are not needed.
    """

    @tf.custom_gradient
    def straight_through(values: Any) -> tuple[Any, Any]:
        return _on_grid(values, bits, channels), lambda upstream: upstream

    return straight_through(kernel)


def _on_grid(kernel: Any, bits: int, channels: int | None) -> Any:
    scale = weight_scale(kernel, bits, channels)
    if channels is None:
        end = scale * largest(bits)
        return tf.quantization.fake_quant_with_min_max_vars(kernel, -end[0], end[0], num_bits=bits, narrow_range=True)
    return tf.reshape(on_steps(tf.reshape(kernel, [-1, channels]), scale, bits, narrow=True), kernel.shape)


def on_steps(values: Any, step: Any, bits: int, *, narrow: bool) -> Any:
    """Return float32 [n, channels] on the grids n · step, with a step for each channel.

    The integers are fake-quantised with a step of 1: TensorFlow's own operation for channels takes six times as long.

    Args:
        values: float32 [n, channels].
        step: float32 [channels].
        bits: width of the integers.
        narrow: whether the least integer is left out.
    """
    least = -largest(bits) - (0.0 if narrow else 1.0)
    quantise = tf.quantization.fake_quant_with_min_max_vars
    return quantise(values / step, least, largest(bits), num_bits=bits, narrow_range=narrow) * step


def weight_integers(kernel: Any, bits: int, channels: int | None) -> tuple[Any, Any]:
    """Return the integers that `fake_quant_weight` stands for (float32, integer values) and their scale.

    The integers are taken from the fake-quantised kernel itself, so that a value near a tie is the one training saw.
    """
    scale = weight_scale(kernel, bits, channels)
    flat = tf.reshape(fake_quant_weight(kernel, bits, channels), [-1, channels or 1])
    return tf.reshape(tf.round(flat / scale), kernel.shape), scale


def largest_magnitude(x: Any, fit: Fit = "around_zero") -> Any:
    """Return max|x|, a float32 scalar, from both ends, which is faster than from a tensor of magnitudes.

    Args:
        x: float32.
        fit: `from_zero`: no value is negative, so that one end is enough.
    """
    greatest = tf.reduce_max(x)
    return greatest if fit == "from_zero" else tf.maximum(greatest, -tf.reduce_min(x))


def activation_grid(low: Any, high: Any, bits: int, fit: Fit, least: float = 0.0) -> tuple[Any, Any]:
    """Return the grid for activations of a range: scale (float32 scalar) and zero point (float32, integer value).

    Args:
        low: least value, a float32 scalar.
        high: greatest value.
        bits: width of the integers.
        fit: how the integers fit the range; `quantise.grids.Fit` has the formulas.
        least: scale that the device's kernels need at least (`graph/kernel_bounds.py`); the zero point stays.
    """
    if fit == "around_zero":
        scale, zero_point = tf.maximum(tf.maximum(-low, high), SMALLEST) / largest(bits), tf.zeros([])
    elif fit == "from_zero":
        scale = tf.maximum(tf.maximum(-low, high), SMALLEST) / (2.0**bits - 1.0)
        zero_point = tf.constant(-largest(bits) - 1.0)
    else:
        low, high = tf.minimum(low, 0.0), tf.maximum(high, 0.0)
        scale = tf.maximum(high - low, SMALLEST) / (2.0**bits - 1.0)
        zero_point = tf.round(-low / scale) - (largest(bits) + 1.0)
    return (tf.maximum(scale, least) if least else scale), zero_point


def fake_quant(x: Any, scale: Any, zero_point: Any, bits: int) -> Any:
    """Return `x` on the grid (q − zero_point) · scale, q = −2^(bits−1) … 2^(bits−1)−1.

    The gradient is 1 within the grid and 0 beyond it, like that of TensorFlow's own operation. The latter has no
    deterministic form on a GPU, since it also sums up the gradients of the ends of the range.

    Args:
        x: float32.
        scale: float32 scalar.
        zero_point: float32 scalar of an integer value.
        bits: width of the integers.
    """
    scale, zero_point = tf.stop_gradient(scale), tf.stop_gradient(zero_point)
    low, high = (-(largest(bits) + 1) - zero_point) * scale, (largest(bits) - zero_point) * scale

    @tf.custom_gradient
    def straight_through(values: Any) -> tuple[Any, Any]:
        on_grid = tf.quantization.fake_quant_with_min_max_vars(values, low, high, num_bits=bits)
        return on_grid, lambda upstream: where_within(upstream, values, low, high)

    return straight_through(x)


def where_within(upstream: Any, values: Any, low: Any, high: Any) -> Any:
    """Return the upstream gradient where low ≤ value ≤ high, else 0, also where the value is not a number.

    On a CPU another operation's gradient is just this, in one pass over memory; comparisons take two to three times as
    long. On a GPU it would wait for the ends in the host's memory.

    Args:
        upstream: float32.
        values: float32, of the same shape.
        low: float32 scalar.
        high: float32 scalar.
    """
    if on_gpu():
        return upstream * tf.cast((values >= low) & (values <= high), tf.float32)
    return tf.raw_ops.QuantizeAndDequantizeV4Grad(
        gradients=upstream, input=values, input_min=low, input_max=high, axis=-1
    ).input_backprop


def on_gpu() -> bool:
    """Return whether TensorFlow computes on GPUs."""
    return bool(tf.config.list_logical_devices("GPU"))


def largest(bits: int) -> float:
    """Return the largest integer of a signed, symmetric width: 127 for 8 bits."""
    return float(2 ** (bits - 1) - 1)
