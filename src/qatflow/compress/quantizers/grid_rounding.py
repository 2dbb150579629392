"""Rounds what a pool or a resize computes to the grid of its input, where its int8 kernel writes."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tf_keras import layers

from qatflow.graph.families import Rounding

NEAR = 2.0**-10
"""Float32 misses a tie by less, and no mean of up to 500 integers is as near to one without being one."""

Grid = tuple[Any, Any]
"""Scale (float32 scalar) and zero point (float32, integer value)."""


def rounded(x: Any, scale: Any, zero_point: Any, ties: Rounding) -> Any:
    """Return `x` on the grid (q − zero_point) · scale, ties as the kernel rounds them; the gradient is 1 everywhere.

    Args:
        x: means of values on the grid, of any shape, so that none is beyond the grid's ends.
        scale: of the grid, a float32 scalar.
        zero_point: of the grid, float32 of an integer value.
        ties: `up`: to the larger integer; `away`: to the one farther from the integer 0, not from the real 0.
    """

    @tf.custom_gradient
    def straight_through(values: Any) -> tuple[Any, Any]:
        steps = tf.cast(values, tf.float32) / scale + zero_point
        if ties == "away":
            whole = tf.sign(steps) * tf.floor(tf.abs(steps) + (0.5 + NEAR))
        else:
            whole = tf.floor(steps + (0.5 + NEAR))
        return tf.cast((whole - zero_point) * scale, values.dtype), lambda upstream: upstream

    return straight_through(x)


class GridRounding(layers.Layer):
    """Rounds to the grid of another tensor; there is no state of its own."""

    def __init__(self, ties: Rounding, grid: Callable[[], Grid | None], name: str):
        """Set up the layer.

        Args:
            ties: see `rounded`.
            grid: returns the other tensor's grid when TensorFlow traces the layer; None: values stay as they are.
            name: the layer's name.
        """
        super().__init__(name=name, trainable=False)
        self.ties = ties
        self._grid = grid

    def call(self, inputs: Any) -> Any:
        """Return the inputs on the grid."""
        grid = self._grid()
        return inputs if grid is None else rounded(inputs, *grid, self.ties)
