"""A quantiser whose first range is found by `calibration_method`, and whose statistic then moves it."""

from typing import Any

from qatflow.compress.quantizers.activations import ActivationQuantizer, state_variable
from qatflow.compress.quantizers.counted import CountedRange
from qatflow.config.recipe.calibration import CalibrationMethod


class Calibrated(ActivationQuantizer):
    """Quantises with a share of another quantiser's range.

    Calibration looks at the pictures twice: the other quantiser observes them as ever, while the ends of the values
    are kept; then a histogram between these ends gives the part of the range to start with. Its ends, divided by those
    of the other quantiser, are the shares, which stay as they are: in training the range follows the statistic, and
    goes on to leave out what calibration found worth leaving out.
    """

    def __init__(self, inner: ActivationQuantizer, method: CalibrationMethod):
        """Set up the quantiser.

        Args:
            inner: whose statistic it follows; not dynamic.
            method: other than `max`.
        """
        super().__init__(inner.bits, inner.phase, inner.fit)
        self.inner = inner
        self._range = CountedRange(method, inner.bits, inner.fit)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the other quantiser's variables, and the shares: of the least and of the greatest value."""
        share = state_variable(layer, f"{name}_share", [2], initializer="ones")
        return {**self.inner.build(tensor_shape, name, layer), "share": share}

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Observe one batch and return the updated range."""
        return self._part(self.inner.observe(inputs, state), state)

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the range that training has found."""
        return self._part(self.inner.known(inputs, state), state)

    def _part(self, ends: tuple[Any, Any], state: dict[str, Any]) -> tuple[Any, Any]:
        return ends[0] * state["share"][0], ends[1] * state["share"][1]

    @property
    def counts(self) -> bool:
        """Whether calibration shows the pictures a second time: it does."""
        return True

    def look(self, inputs: Any) -> None:
        """Keep the ends of a batch of calibration pictures or, after `begin_counting`, count its values.

        Args:
            inputs: float32, an eager tensor.
        """
        self._range.look(inputs.numpy())

    def begin_counting(self) -> None:
        """Count the values from now on: all pictures have been looked at once."""
        self._range.begin_counting()

    def settle(self, state: dict[str, Any]) -> None:
        """Set the shares from what was counted; ranges that are zero, or no numbers, stay whole."""
        found = self._range.result()
        if found is None:
            return
        whole = [float(end) for end in self.inner.known(None, state)]
        state["share"].assign([part / end if part and end else 1.0 for part, end in zip(found, whole, strict=True)])
