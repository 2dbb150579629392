"""range_abs_max: the largest max|x| of the last 10,000 batches, as PaddleSlim's operation of the name."""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.fake_quant import largest_magnitude

WINDOW = 10_000


class RangeAbsMax(ActivationQuantizer):
    """Keeps max|x| of the last `WINDOW` batches in a ring and quantises with the largest."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the ring and the count of batches seen."""
        return {
            "ring": layer.add_weight(f"{name}_ring", shape=[WINDOW], initializer="zeros", trainable=False),
            "seen": layer.add_weight(f"{name}_seen", shape=[], initializer="zeros", dtype=tf.int64, trainable=False),
        }

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Take in one batch and return the largest max|x| of the window."""
        place = tf.math.floormod(state["seen"], WINDOW)
        ring = tf.tensor_scatter_nd_update(state["ring"], [[place]], [largest_magnitude(inputs)])
        ring = state["ring"].assign(ring, read_value=True)
        with tf.control_dependencies([state["seen"].assign_add(1)]):
            largest = tf.reduce_max(ring)
        return -largest, largest

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the largest max|x| of the window."""
        largest = tf.reduce_max(state["ring"])
        return -largest, largest
