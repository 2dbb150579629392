"""Gradients that end where a grid ends, and sums over a tensor, in few passes over memory.

In most batches few values of a tensor, or none, lie beyond its grid: a mask over the whole tensor costs two passes over
memory for nothing. So the tensor is cut into rows, and only rows with such a value are masked. Their greatest values
cost one pass, which the range statistics make anyway: TensorFlow computes equal operations of a graph once.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

LEAST_IN_A_ROW = 1024
"""Values: below, the sums of rows take longer."""
Mask = Callable[[Any, Any], Any]
"""From the upstream gradient and the values, both float32 of one shape, to what of the gradient passes."""


def rows_of(x: Any) -> Any:
    """Return the values as rows, [n, values]: the fewest last axes with `LEAST_IN_A_ROW` values, or whole pictures."""
    shape = x.shape[1:]
    first = next((axis for axis in range(len(shape), 0, -1) if math.prod(shape[axis:]) >= LEAST_IN_A_ROW), 0)
    return tf.reshape(x, [-1, math.prod(shape[first:])])


def greatest_of_rows(x: Any) -> Any:
    """Return the greatest value of each row, float32 [n]; NaN where there is one."""
    return tf.reduce_max(rows_of(x), axis=1)


def least_of_rows(x: Any) -> Any:
    """Return the least value of each row, float32 [n]; NaN where there is one."""
    return tf.reduce_min(rows_of(x), axis=1)


def masked(upstream: Any, values: Any, within: Any, mask: Mask) -> Any:
    """Return what of a gradient passes, the same bits as `mask(upstream, values)`.

    Args:
        upstream: float32.
        values: float32, of the same shape.
        within: bool [rows]: in these rows of `values` the mask lets everything through.
        mask: the gradients that end; it looks at each value by itself.
    """
    return masked_and_stopped(upstream, values, within, mask)[0]


def masked_and_stopped(upstream: Any, values: Any, within: Any, mask: Mask, factors: Any = None) -> tuple[Any, Any]:
    """Return what `masked` does, and the sum over the rest of the gradient times `factors`, a float32 scalar.

    Args:
        upstream: float32.
        values: float32, of the same shape.
        within: bool [rows]: in these rows of `values` the mask lets everything through.
        mask: the gradients that end; it looks at each value by itself.
        factors: float32, of the same shape; None: the sum is 0.
    """

    def of_all() -> tuple[Any, Any]:
        passed = mask(upstream, values)
        return passed, _stopped(upstream, passed, factors)

    if on_gpu():
        return of_all()  # a condition would make the host wait for the device, whose memory is fast
    first, end = _range_of(tf.logical_not(within))

    def of_some() -> tuple[Any, Any]:
        rows = rows_of(upstream)
        some = rows[first:end]
        passed = mask(some, rows_of(values)[first:end])
        stopped = _stopped(some, passed, None if factors is None else rows_of(factors)[first:end])
        rows = tf.raw_ops.TensorStridedSliceUpdate(
            input=rows, begin=[first], end=[end], strides=[1], value=passed
        )  # in place, unless something else reads it
        return tf.reshape(rows, [-1, *upstream.shape[1:]]), stopped

    passed, stopped = tf.cond(2 * (end - first) <= tf.shape(within)[0], of_some, of_all)
    passed.set_shape(upstream.shape)
    return passed, stopped


def _range_of(marked: Any) -> tuple[Any, Any]:
    """Return where a range begins and ends that holds all marked rows, and one row at least; int32 scalars."""
    rows = tf.shape(marked)[0]
    places = tf.range(rows)
    last = tf.reduce_max(tf.where(marked, places, 0))
    first = tf.reduce_min(tf.where(marked, places, last))
    return first, last + 1


def _stopped(upstream: Any, passed: Any, factors: Any) -> Any:
    return tf.zeros([]) if factors is None else dot(upstream - passed, factors)


def dot(a: Any, b: Any) -> Any:
    """Return the sum over the products of two tensors of one shape, a float32 scalar, without a tensor of products."""
    if on_gpu():
        return tf.reduce_sum(a * b)  # products of matrices keep 10 bits of a factor there (TF32)
    a, b = (tf.expand_dims(rows_of(x), 1) for x in (a, b))
    return tf.reduce_sum(tf.matmul(a, b, transpose_b=True))


def on_gpu() -> bool:
    """Return whether TensorFlow computes on GPUs."""
    return bool(tf.config.list_logical_devices("GPU"))
