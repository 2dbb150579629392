"""The base of the activation quantisers: when they observe, when they quantise."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow_model_optimization.quantization.keras import quantizers

from qatflow.compress.quantizers.fake_quant import Phase, activation_grid, fake_quant
from qatflow.quantisation.grids import Fit


def state_variable(
    layer: Any, name: str, shape: Sequence[int] = (), dtype: Any = tf.float32, initializer: str = "zeros"
) -> Any:
    """Return a new state variable of a quantiser; every replica of the model has the same value in it."""
    same = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return layer.add_weight(name, list(shape), dtype, initializer=initializer, trainable=False, aggregation=same)


class ActivationQuantizer(quantizers.Quantizer):
    """Observes the range of the values in training and quantises with it.

    Attributes:
        fit: how the integers fit the range.
        dynamic: each input has its own range, also in inference.
        least: smallest scale that the device's kernels accept, float32; 0 where they accept any.
    """

    dynamic = False

    def __init__(self, bits: int, phase: Phase, fit: Fit = "around_zero"):
        self.bits = bits
        self.phase = phase
        self.fit: Fit = fit
        self.least = 0.0

    @abstractmethod
    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Observe one batch and return the updated range: two float32 scalar tensors, least and greatest value."""

    @abstractmethod
    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the range that training has found: two float32 scalar tensors, least and greatest value."""

    @property
    def counts(self) -> bool:
        """Whether calibration shows the pictures a second time, to count values within the ends of the first."""
        return False

    def look(self, inputs: Any) -> None:
        """Look at the activations of a batch of calibration pictures, an eager tensor."""

    def begin_counting(self) -> None:
        """Count the values from now on: all pictures have been looked at once. Called where `counts` says so."""

    def settle(self, state: dict[str, Any]) -> None:
        """Set what training starts from: calibration has shown all pictures."""

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Return the activations, fake-quantised when the phase is `quantise`."""
        if self.phase.mode == "float":
            return inputs
        if self.phase.mode in ("calibrate", "count"):
            self.look(inputs)
        if self.phase.mode == "count":
            return inputs
        if self.phase.mode == "calibrate":
            with tf.control_dependencies(self.observe(inputs, weights)):
                return tf.identity(inputs)
        return self.quantised(inputs, training, weights)

    def quantised(self, inputs: Any, training: bool, state: dict[str, Any]) -> Any:
        """Return the activations on the grid that training has found, after observing them if it trains."""
        low, high = self.observe(inputs, state) if training else self.known(inputs, state)
        scale, zero_point = activation_grid(low, high, self.bits, self.fit, self.least)
        return fake_quant(inputs, scale, zero_point, self.bits)

    def grid(self, state: dict[str, Any]) -> tuple[float | None, int]:
        """Return scale and zero point that training settled on; the scale is None where each input has its own."""
        if self.dynamic:
            return None, int(activation_grid(0.0, 1.0, self.bits, self.fit)[1])
        scale, zero_point = self.grid_now(state)
        return float(scale), int(zero_point)

    def grid_now(self, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return scale and zero point (float32 scalar tensors) of the state as it is."""
        return activation_grid(*self.known(None, state), self.bits, self.fit, self.least)

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        return {"bits": self.bits}
