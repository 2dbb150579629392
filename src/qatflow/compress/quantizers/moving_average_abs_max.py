"""moving_average_abs_max: a moving average of each batch's max|x|, as PaddleSlim's operation of the name."""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer, state_variable
from qatflow.compress.quantizers.fake_quant import largest_magnitude
from qatflow.training.replicas import greatest

RATE = 0.9


class MovingAverageAbsMax(ActivationQuantizer):
    """state = 0.9·state + 1, accum = 0.9·accum + max|x|, scale = accum / state; both start at 0, so that the first
    batch counts for itself alone (PaddleSlim starts both at 1, which pulls the first steps towards 1)."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the two variables."""
        return {key: state_variable(layer, f"{name}_{key}") for key in ("state", "accum")}

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Observe one batch and return the updated average of max|x|."""
        total = state["state"] * RATE + 1.0
        accum = state["accum"] * RATE + greatest(largest_magnitude(inputs, self.fit))
        state["state"].assign(total)
        state["accum"].assign(accum)
        largest = accum / total
        return -largest, largest

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the average of max|x|."""
        largest = tf.math.divide_no_nan(state["accum"], state["state"])
        return -largest, largest
