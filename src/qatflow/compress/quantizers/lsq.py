"""lsq and channel_wise_lsq: the step of the grid is trained (LSQ, Esser et al. 2020, arXiv:1902.08153).

With integers −Qn … Qp and v = x / s: x̂ = round(clip(v, −Qn, Qp)) · s; dx̂/dx = 1 between the ends, 0 from them on;
dx̂/ds = round(v) − v between the ends, −Qn and Qp from them on (eq. 1–3, 5). The gradient of s is multiplied by
1/√(N · Qp), which makes a step move in the same proportion as the weights do (§2.2), so that the weights' learning rate
suits it: N is the number of weights with that step, or of values of a tensor for one picture. Training starts with
s = 2 · mean|x| / √Qp (§2.1): of the weights when quantisation begins, and of the tensor for the calibration pictures.

Beyond the paper: a weight has Qn = Qp, as the int8 kernels want it; and steps are not decayed. The paper is about 2 to
8 bits. At 16 its first step covers 2 · √Qp = 362 times the mean, so that a tensor would use some hundred of 65,536
integers: activations of 16 bits start with the step that just holds the largest magnitude, max|x| / Qp.
At 8 bits the first step of a weight covers 2 · √Qp = 22 times the mean, so that most of the integers stand for no
weight, and a short training does not find the way back: `first_weight_scale: mse` starts with the least squared error.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from qatflow.compress.quantizers.fake_quant import Phase, largest
from qatflow.compress.quantizers.learned_grid import (
    LearnedGrid,
    at_least,
    on_trained_grid,
    scaled_gradient,
    weight_ends,
)
from qatflow.compress.quantizers.weights import ScaledWeight
from qatflow.config.recipe.recipe import FirstScale
from qatflow.config.recipe.widths import WIDE
from qatflow.quantisation.grids import SMALLEST
from qatflow.quantisation.kernel_scales import kernel_scale


def lsq(values: Any, step: Any, ends: tuple[float, float], bits: int, count: int) -> Any:
    """Return the values on the grid of a trained step; the module says with which gradients.

    Args:
        values: float32; the last axis is that of the channels where there is a step for each.
        step: float32, a scalar or [channels].
        ends: integers (−Qn, Qp).
        bits: width of the integers.
        count: N.
    """
    factor = 1.0 / math.sqrt(count * ends[1])
    return on_trained_grid(values, scaled_gradient(step, factor), ends, bits, within=True)


def first_step(mean: Any, greatest: float) -> Any:
    """Return 2 · mean / √Qp, at least the smallest step: that which training starts with.

    Args:
        mean: of the magnitudes, a number or an array.
        greatest: Qp.
    """
    return np.maximum(2.0 * mean / math.sqrt(greatest), SMALLEST / greatest)


class LearnedStep(LearnedGrid):
    """Quantises activations with a trained step."""

    value = "step"

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._magnitudes, self._greatest, self._count = 0.0, 0.0, 0

    def step(self, state: dict[str, Any]) -> Any:
        """Return the trained step, a float32 scalar tensor."""
        return tf.convert_to_tensor(state[self.value])

    def quantised(self, inputs: Any, training: bool, state: dict[str, Any]) -> Any:
        """Return the activations on the grid of the trained step."""
        scale, _ = self.grid_now(state)
        return lsq(inputs, scale, self.ends, self.bits, math.prod(inputs.shape[1:]))

    def look(self, inputs: Any) -> None:
        """Add up the magnitudes of a batch of calibration pictures."""
        super().look(inputs)
        magnitudes = np.abs(inputs.numpy())
        self._magnitudes += float(magnitudes.sum(dtype=np.float64))
        self._greatest = max(self._greatest, float(magnitudes.max(initial=0.0)))
        self._count += int(tf.size(inputs))

    def start(self) -> float:
        """Return the step of the paper's formula; at 16 bits that of the largest magnitude."""
        if self.bits == WIDE:
            return max(self.start_of_range(self._greatest), SMALLEST / self.ends[1])
        return float(first_step(self._magnitudes / self._count, self.ends[1]))

    def start_of_range(self, end: float) -> float:
        """Return the step whose largest integer is the end of the range."""
        return end / self.ends[1]


def _of_mean(kernel: np.ndarray, channels: int | None, bits: int) -> np.ndarray:
    magnitudes = np.abs(kernel.astype(np.float64)).reshape(-1, channels or 1)
    step: np.ndarray = first_step(magnitudes.mean(axis=0), largest(bits)).astype(np.float32)
    return step


def _of_least_error(kernel: np.ndarray, channels: int | None, bits: int) -> np.ndarray:
    return kernel_scale(kernel, channels, bits, "mse")


FIRST_SCALES: Mapping[FirstScale, Callable[[np.ndarray, int | None, int], np.ndarray]] = {
    "mean": _of_mean,
    "mse": _of_least_error,
}
"""The steps of a kernel that training starts with, float32 [1] or [channels], by `first_weight_scale`."""


class LearnedStepWeight(ScaledWeight):
    """`lsq` and `channel_wise_lsq`: one trained step, or one per output channel."""

    _step: Any

    def __init__(self, bits: int, channels: int | None, phase: Phase, first: FirstScale = "mean"):
        """Set up the quantiser.

        Args:
            bits: width of the integers.
            channels: number of output channels for a step of each; None: one step.
            phase: what the model's quantisers are doing.
            first: where the steps start.
        """
        super().__init__(bits, channels, phase)
        self.first: FirstScale = first

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the variable of the steps, float32 [1] or [channels]; `settle` sets it."""
        self._step = layer.add_weight(f"{name}_step", [self.channels or 1], tf.float32, initializer="zeros")
        return {"step": self._step}

    def settle(self, kernel: Any) -> None:
        """Set the steps to start with."""
        self._step.assign(FIRST_SCALES[self.first](np.asarray(kernel), self.channels, self.bits))

    def fake_quantised(self, kernel: Any) -> Any:
        """Return a kernel (float32) on its grid."""
        flat = tf.reshape(kernel, [-1, self.channels or 1])
        steps = self._scale() if self.channels else self._scale()[0]
        return tf.reshape(lsq(flat, steps, weight_ends(self.bits), self.bits, flat.shape[0]), kernel.shape)

    def integers(self, kernel: Any) -> tuple[Any, Any]:
        """Return the integers (float32) and the scale, float32 [1] or [channels], that the kernel has now."""
        scale = self._scale()
        flat = tf.reshape(self.fake_quantised(kernel), [-1, self.channels or 1])
        return tf.reshape(tf.round(flat / scale), kernel.shape), scale

    def _scale(self) -> Any:
        return at_least(tf.convert_to_tensor(self._step), SMALLEST / largest(self.bits))
