"""Grids whose step is trained: fake quantisation with a gradient for the step, and the base of such quantisers."""

from abc import abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

from qatflow.compress.quantizers.activations import ActivationQuantizer
from qatflow.compress.quantizers.counted import CountedRange
from qatflow.compress.quantizers.fake_quant import Phase, largest, on_gpu, on_steps, where_within
from qatflow.config.recipe.calibration import CalibrationMethod
from qatflow.quantisation.grids import SMALLEST, Fit

TINY = np.float32(np.finfo(np.float32).tiny)
"""The least positive value: TensorFlow takes smaller ones for 0."""


def on_trained_grid(values: Any, step: Any, ends: tuple[float, float], bits: int, *, within: bool) -> Any:
    """Return the values on the grid n · step, n = low … high, with gradients for the values and the step.

    The gradient of a value is 1 between the ends and 0 from them on. That of the step, for each value: low or high
    from the ends on; between them n − value / step where the step's part in the rounding counts, else 0.

    Args:
        values: float32; the last axis is that of the channels where there is a step for each.
        step: float32, a scalar or [channels].
        ends: integers (low, high).
        bits: width of the integers.
        within: whether the gradient of the step counts the values between the ends.
    """
    if step.shape.rank:
        return _with_steps(values, step, ends, bits, within)
    low, high = ends

    @tf.custom_gradient
    def trained(values: Any, step: Any) -> tuple[Any, Any]:
        least, most = low * step, high * step
        quantised = tf.quantization.fake_quant_with_min_max_vars(
            values, least, most, num_bits=bits, narrow_range=low == -high
        )

        def gradient(upstream: Any) -> tuple[Any, Any]:
            between = _next_to_zero(least) if low else TINY, _next_to_zero(most)
            passed = where_within(upstream, values, *between)
            moved = quantised - where_within(values if within else quantised, values, *between)
            return passed, _dot(upstream, moved) / step

        return quantised, gradient

    return trained(values, step)


def _with_steps(values: Any, step: Any, ends: tuple[float, float], bits: int, within: bool) -> Any:
    """Return what `on_trained_grid` does with a step for each channel and ends on both sides of zero."""

    @tf.custom_gradient
    def trained(values: Any, step: Any) -> tuple[Any, Any]:
        quantised = on_steps(values, step, bits, narrow=True)

        def gradient(upstream: Any) -> tuple[Any, Any]:
            # a difference of floats has the exact sign; ReLU's gradient takes a third of the time of tf.where
            passed = tf.raw_ops.ReluGrad(gradients=upstream, features=ends[1] * step - tf.abs(values))
            moved = upstream * quantised - passed * (values if within else quantised)
            return passed, tf.reduce_sum(moved, list(range(values.shape.rank - 1))) / step

        return quantised, gradient

    return trained(values, step)


def _next_to_zero(x: Any) -> Any:
    """Return the next float32 on the way to zero."""
    return x - x * 2.0**-24


def _dot(a: Any, b: Any) -> Any:
    """Return the sum over the products of two tensors of one shape, a float32 scalar, without a tensor of products."""
    if on_gpu():
        return tf.reduce_sum(a * b)  # products of matrices keep 10 bits of a factor there (TF32)
    return tf.matmul(tf.reshape(a, [1, -1]), tf.reshape(b, [1, -1]), transpose_b=True)[0, 0]


def at_least(step: Any, least: float) -> Any:
    """Return max(step, least); the gradient is 1 everywhere, so that a step that is too small can grow again."""

    @tf.custom_gradient
    def held(value: Any) -> tuple[Any, Any]:
        return tf.maximum(value, least), lambda upstream: upstream

    return held(step)


def scaled_gradient(value: Any, factor: float) -> Any:
    """Return the value, whose gradient is multiplied by `factor`."""

    @tf.custom_gradient
    def scaled(value: Any) -> tuple[Any, Any]:
        return tf.identity(value), lambda upstream: upstream * factor

    return scaled(value)


class LearnedGrid(ActivationQuantizer):
    """Quantises activations on a grid with one trained value; calibration finds the value to start with.

    The integers are those of the other types: −2^(b−1) … 2^(b−1)−1 around zero, and all 2^b from zero for what cannot
    be negative.

    Attributes:
        ends: the integers without the zero point, (low, high).
        zero_point: an integer.
    """

    value: str
    """Name of the trained value."""

    def __init__(self, bits: int, phase: Phase, fit: Fit = "around_zero", method: CalibrationMethod = "max"):
        """Set up the quantiser.

        Args:
            bits: width of the integers.
            phase: what the model's quantisers are doing.
            fit: not `both_ends`.
            method: how the range to start with is found; `max`: by the type's own rule.
        """
        super().__init__(bits, phase, fit)
        half = 2.0 ** (bits - 1)
        self.ends, self.zero_point = ((0.0, 2 * half - 1), -half) if fit == "from_zero" else ((-half, half - 1), 0.0)
        self._range = None if method == "max" else CountedRange(method, bits, fit)

    @abstractmethod
    def step(self, state: dict[str, Any]) -> Any:
        """Return the step that the trained value stands for, a float32 scalar tensor, of any sign."""

    @abstractmethod
    def start(self) -> float:
        """Return the value to start with by the type's own rule, after `look` has seen all calibration pictures."""

    @abstractmethod
    def start_of_range(self, end: float) -> float:
        """Return the value to start with where the range −end … end has been found."""

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the trained variable, a scalar; calibration sets it."""
        return {self.value: layer.add_weight(f"{name}_{self.value}", [], tf.float32, initializer="zeros")}

    def grid_now(self, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return scale and zero point (float32 scalar tensors) of the state as it is."""
        least = max(self.least, SMALLEST / self.ends[1])
        return at_least(self.step(state), least), tf.constant(self.zero_point)

    def observe(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the ends of the grid: a batch changes nothing but by its gradient."""
        return self.known(inputs, state)

    def known(self, inputs: Any, state: dict[str, Any]) -> tuple[Any, Any]:
        """Return the ends of the grid."""
        scale, _ = self.grid_now(state)
        return self.ends[0] * scale, self.ends[1] * scale

    @property
    def counts(self) -> bool:
        """Whether calibration shows the pictures a second time."""
        return self._range is not None

    def look(self, inputs: Any) -> None:
        """Look at a batch of calibration pictures, float32, an eager tensor."""
        if self._range is not None:
            self._range.look(inputs.numpy())

    def begin_counting(self) -> None:
        """Count the values from now on: all pictures have been looked at once."""
        assert self._range is not None
        self._range.begin_counting()

    def settle(self, state: dict[str, Any]) -> None:
        """Set the value that training starts with."""
        found = (0.0, 0.0) if self._range is None else self._range.result()
        if found is not None:
            state[self.value].assign(self.start() if self._range is None else self.start_of_range(found[1]))


def weight_ends(bits: int) -> tuple[float, float]:
    """Return the least and greatest integer of a weight: −127 and 127 for 8 bits."""
    return -largest(bits), largest(bits)
