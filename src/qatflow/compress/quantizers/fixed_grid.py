"""A grid that the device's kernel prescribes, as for sigmoid and tanh, whatever the values are."""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.fake_quant import Phase


class FixedGrid(ActivationQuantizer):
    """Quantises values on a scale and zero point that are known beforehand; there is no state."""

    def __init__(self, bits: int, scale: float, zero_point: int, phase: Phase):
        super().__init__(bits, phase, "both_ends")
        self.scale = scale
        self.zero_point = zero_point

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make no variables."""
        return {}

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the ends of the grid."""
        return self.known(inputs, state)

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the ends of the grid: of −128 and of 127 at 8 bits."""
        end = 2 ** (self.bits - 1)
        low, high = ((integer - self.zero_point) * self.scale for integer in (-end, end - 1))
        return tf.constant(low), tf.constant(high)
