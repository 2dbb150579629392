"""range_abs_max: the largest max|x| of the last 10,000 batches, as PaddleSlim's operation of the name."""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer, state_variable
from qatflow.compress.quantizers.fake_quant import largest_magnitude
from qatflow.training.replicas import greatest

WINDOW = 10_000


class RangeAbsMax(ActivationQuantizer):
    """Keeps max|x| of the last `WINDOW` batches in a ring and quantises with the largest."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the ring and the count of batches seen."""
        return {
            "ring": state_variable(layer, f"{name}_ring", [WINDOW]),
            "seen": state_variable(layer, f"{name}_seen", dtype=tf.int64),
        }

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Observe one batch and return the largest max|x| of the window."""
        place = tf.math.floormod(state["seen"], WINDOW)
        ring = tf.tensor_scatter_nd_update(state["ring"], [[place]], [greatest(largest_magnitude(inputs, self.fit))])
        state["ring"].assign(ring)
        state["seen"].assign(state["seen"] + 1)
        largest = tf.reduce_max(ring)
        return -largest, largest

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the largest max|x| of the window."""
        largest = tf.reduce_max(state["ring"])
        return -largest, largest
