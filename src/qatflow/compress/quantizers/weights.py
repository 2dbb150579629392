"""The base of the weight quantisers, and abs_max and channel_wise_abs_max.

Their scale is that of the kernel at each step; there is no state.
"""

from abc import abstractmethod
from typing import Any

import tensorflow as tf
from tensorflow_model_optimization.quantization.keras import quantizers

from qatflow.compress.quantizers.fake_quant import Phase, fake_quant_weight, weight_integers


class WeightQuantizer(quantizers.Quantizer):
    """Fake-quantises a kernel (tfmot's interface), and says which integers it stands for."""

    def settle(self, kernel: Any) -> None:
        """Set what training starts from: quantisation is about to begin, with this kernel (float32)."""

    @abstractmethod
    def integers(self, kernel: Any) -> tuple[Any, Any]:
        """Return the integers (float32) and the scale that the kernel has now."""


class ScaledWeight(WeightQuantizer):
    """Fake-quantises a kernel with one scale per tensor, or one per output channel."""

    def __init__(self, bits: int, channels: int | None, phase: Phase):
        """Set up the quantiser.

        Args:
            bits: width of the integers.
            channels: number of output channels for a `channel_wise` type; None: one scale per tensor.
            phase: what the model's quantisers are doing.
        """
        self.bits = bits
        self.channels = channels
        self.phase = phase

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Return the kernel, fake-quantised when the phase is `quantise`."""
        return self.fake_quantised(inputs) if self.phase.mode == "quantise" else inputs

    @abstractmethod
    def fake_quantised(self, kernel: Any) -> Any:
        """Return a kernel (float32) on its grid."""

    def get_config(self) -> dict[str, Any]:
        """Return the settings (tfmot's interface)."""
        return {"bits": self.bits, "channels": self.channels}


class AbsMaxWeight(ScaledWeight):
    """`abs_max` and `channel_wise_abs_max`: the scale follows from the largest magnitude."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make no variables (tfmot's interface)."""
        return {}

    def fake_quantised(self, kernel: Any) -> Any:
        """Return a kernel (float32) on its grid."""
        return fake_quant_weight(kernel, self.bits, self.channels)

    def integers(self, kernel: Any) -> tuple[Any, Any]:
        """Return the integers (float32) and the scale that the kernel has now."""
        return weight_integers(kernel, self.bits, self.channels)
