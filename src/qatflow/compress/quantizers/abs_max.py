"""abs_max: the scale of each batch is its own max|x|, also in inference. It can be trained, but no device runs it."""

from typing import Any

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.fake_quant import largest_magnitude
from qatflow.training.replicas import greatest


class AbsMax(ActivationQuantizer):
    """Quantises each batch with its own range; there is no state, and no scale to export."""

    dynamic = True

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make no variables."""
        return {}

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the range of this batch."""
        return self.known(inputs, state)

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the range of this batch."""
        largest = greatest(largest_magnitude(inputs, self.fit))
        return -largest, largest
