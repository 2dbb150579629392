"""pact: the value at which an activation is clipped is trained (PACT, Choi et al. 2018, arXiv:1805.06085).

y = clip(x, 0, α), on the grid of step α / (2^b − 1). dy/dx is 1 between 0 and α, 0 from them on; dy/dα is 1 from α on,
else 0 (eq. 3). A multiple of α (`clip_decay`) is added to α's gradient, the L2 regularisation of §3, which makes α
smaller where that costs little. Training starts with the largest magnitude of the calibration pictures.

A tensor that can be negative is clipped at both ends of the grid around zero, whose step is α / (2^(b−1) − 1): dy/dα
is 1 from the upper end on, and that of the lower end up to there.
"""

from typing import Any

import tensorflow as tf

from qatflow.compress.quantizers.learned_grid import LearnedGrid, on_trained_grid
from qatflow.quantisation.grids import SMALLEST


class LearnedClip(LearnedGrid):
    """Quantises activations up to a trained value."""

    value = "clip"

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._largest = 0.0

    def step(self, state: dict[str, Any]) -> Any:
        """Return the step of the grid that ends at the trained value, a float32 scalar tensor."""
        return tf.convert_to_tensor(state[self.value]) / self.ends[1]

    def quantised(self, inputs: Any, training: bool, state: dict[str, Any]) -> Any:
        """Return the activations, clipped at the trained value, on its grid."""
        scale, _ = self.grid_now(state)
        return on_trained_grid(inputs, scale, self.ends, self.bits, within=False)

    def look(self, inputs: Any) -> None:
        """Keep the largest magnitude of a batch of calibration pictures."""
        super().look(inputs)
        self._largest = max(self._largest, float(tf.reduce_max(tf.abs(inputs))))

    def start(self) -> float:
        """Return the largest magnitude."""
        return max(self._largest, SMALLEST)

    def start_of_range(self, end: float) -> float:
        """Return the end of the range."""
        return max(end, SMALLEST)
