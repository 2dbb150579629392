"""moving_average_min_max: moving averages of each batch's least and greatest value; asymmetric, beyond PaddleSlim."""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer, state_variable
from qatflow.compress.quantizers.fake_quant import Phase
from qatflow.compress.quantizers.moving_average_abs_max import RATE
from qatflow.quantisation.grids import Fit
from qatflow.training.replicas import greatest


class MovingAverageMinMax(ActivationQuantizer):
    """The average of `moving_average_abs_max`, taken of both ends; what is never negative gets all 256 steps."""

    def __init__(self, bits: int, phase: Phase, fit: Fit = "both_ends"):
        super().__init__(bits, phase, fit)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the three variables."""
        return {key: state_variable(layer, f"{name}_{key}") for key in ("state", "least", "greatest")}

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Observe one batch and return the updated averages."""
        total = state["state"] * RATE + 1.0
        low = state["least"] * RATE - greatest(-tf.reduce_min(inputs))
        high = state["greatest"] * RATE + greatest(tf.reduce_max(inputs))
        state["state"].assign(total)
        state["least"].assign(low)
        state["greatest"].assign(high)
        return low / total, high / total

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the averages."""
        return (
            tf.math.divide_no_nan(state["least"], state["state"]),
            tf.math.divide_no_nan(state["greatest"], state["state"]),
        )
