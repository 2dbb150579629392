"""What the three activation quantisers share: when they observe, when they quantise."""

from abc import abstractmethod
from typing import Any

import tensorflow as tf
from tensorflow_model_optimization.quantization.keras import quantizers

from qatflow.compress.quantizers.fake_quant import activation_scale, fake_quant
from qatflow.compress.quantizers.phase import Phase


class ActivationQuantizer(quantizers.Quantizer):
    """Observes max|x| in training and quantises with what it has learnt."""

    def __init__(self, bits: int, phase: Phase):
        self.bits = bits
        self.phase = phase

    @abstractmethod
    def observe(self, inputs: Any, state: dict[str, Any]) -> Any:
        """Take in one batch and return the updated max|x|, a float32 scalar tensor."""

    @abstractmethod
    def abs_max(self, inputs: Any, state: dict[str, Any]) -> Any:
        """Return max|x| as known from training, a float32 scalar tensor."""

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Return the activations, fake-quantised when the phase is `quantise`."""
        if self.phase.mode == "float":
            return inputs
        if self.phase.mode == "calibrate":
            with tf.control_dependencies([self.observe(inputs, weights)]):
                return tf.identity(inputs)
        known = self.observe(inputs, weights) if training else self.abs_max(inputs, weights)
        return fake_quant(inputs, activation_scale(known, self.bits), self.bits)

    def scale(self, state: dict[str, Any]) -> Any:
        """Return the step between two integers that training settled on, a float32 scalar tensor."""
        return activation_scale(self.abs_max(None, state), self.bits)

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        return {"bits": self.bits}
