"""moving_average_min_max: moving averages of each batch's least and greatest value; asymmetric, beyond PaddleSlim."""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.moving_average_abs_max import RATE


class MovingAverageMinMax(ActivationQuantizer):
    """The average of `moving_average_abs_max`, taken of both ends; what is never negative gets all 256 steps."""

    symmetric = False

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the three variables."""
        return {
            key: layer.add_weight(f"{name}_{key}", shape=[], initializer="zeros", trainable=False)
            for key in ("state", "least", "greatest")
        }

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Take in one batch and return the updated averages."""
        total = state["state"].assign(state["state"] * RATE + 1.0, read_value=True)
        least = state["least"].assign(state["least"] * RATE + tf.reduce_min(inputs), read_value=True)
        greatest = state["greatest"].assign(state["greatest"] * RATE + tf.reduce_max(inputs), read_value=True)
        return least / total, greatest / total

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the averages."""
        return (
            tf.math.divide_no_nan(state["least"], state["state"]),
            tf.math.divide_no_nan(state["greatest"], state["state"]),
        )
