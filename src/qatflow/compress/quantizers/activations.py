"""The base of the activation quantisers: when they observe, when they quantise."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow_model_optimization.quantization.keras import quantizers

from qatflow.compress.quantizers.fake_quant import Phase, activation_grid, fake_quant


def state_variable(layer: Any, name: str, shape: Sequence[int] = (), dtype: Any = tf.float32) -> Any:
    """Return a new state variable of a quantiser, all zeros; every replica of the model has the same value in it."""
    same = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return layer.add_weight(name, list(shape), dtype, initializer="zeros", trainable=False, aggregation=same)


class ActivationQuantizer(quantizers.Quantizer):
    """Observes the range of the values in training and quantises with it.

    Attributes:
        symmetric: the grid has its zero point at 0, as PaddleSlim's types have; otherwise it fits both ends of the
            range.
        dynamic: each input has its own range, also in inference.
        least: smallest scale that the device's kernels accept, float32; 0 where they accept any.
    """

    symmetric = True
    dynamic = False

    def __init__(self, bits: int, phase: Phase):
        self.bits = bits
        self.phase = phase
        self.least = 0.0

    @abstractmethod
    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Observe one batch and return the updated range: two float32 scalar tensors, least and greatest value."""

    @abstractmethod
    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the range that training has found: two float32 scalar tensors, least and greatest value."""

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Return the activations, fake-quantised when the phase is `quantise`."""
        if self.phase.mode == "float":
            return inputs
        if self.phase.mode == "calibrate":
            with tf.control_dependencies(self.observe(inputs, weights)):
                return tf.identity(inputs)
        low, high = self.observe(inputs, weights) if training else self.known(inputs, weights)
        scale, zero_point = activation_grid(low, high, self.bits, self.symmetric, self.least)
        return fake_quant(inputs, scale, zero_point, self.bits)

    def grid(self, state: dict[str, Any]) -> tuple[float, int] | None:
        """Return scale and zero point that training settled on; None where there are none."""
        if self.dynamic:
            return None
        scale, zero_point = self.grid_now(state)
        return float(scale), int(zero_point)

    def grid_now(self, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return scale and zero point (float32 scalar tensors) of the state as it is."""
        return activation_grid(*self.known(None, state), self.bits, self.symmetric, self.least)

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        return {"bits": self.bits}
