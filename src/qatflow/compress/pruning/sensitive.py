"""A ratio for each layer, by what pruning it costs: PaddleSlim's SensitivePruneStrategy.

All groups may cost the same: the ratio of each is the largest that its curve allows for one loss, and that loss is
searched until so much goes as is to go. PaddleSlim fits a cubic to each curve by least squares. A cubic through noisy
points bends down again, then several ratios have one loss, or none has, and it leaves the measured range. Here a curve
is the rising one that is nearest to the points by least squares (isotonic regression), straight between them, from
(0, 0) on; and no group goes beyond the last ratio that was measured.
"""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import isotonic_regression

from qatflow.compress.pruning.candidates import Candidates
from qatflow.compress.pruning.sensitivity import Sensitivity
from qatflow.compress.pruning.target import Ratios, Target, search

LEAST_SLOPE = 1e-5
"""Top-1 lost by pruning all, added to every curve, so that a flat one too has one ratio for one loss."""


def step_ratio(target_ratio: float, num_steps: int) -> float:
    """Return the share that one of `num_steps` steps removes of what is left: 1 − (1 − target)^(1 / steps)."""
    return 1 - (1 - target_ratio) ** (1 / num_steps)


def curve(sensitivity: Sensitivity) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the fitted curve: ratios, rising, and the losses at them, rising; both begin with 0."""
    ratios = np.asarray([0.0, *sensitivity.ratios])
    fitted = isotonic_regression(np.asarray(sensitivity.losses, float)).x if sensitivity.losses else np.empty(0)
    return ratios, np.concatenate([[0.0], np.maximum(fitted, 0)]) + LEAST_SLOPE * ratios


def sensitive_ratios(candidates: Candidates, sensitivities: Mapping[str, Sensitivity], target: Target) -> Ratios:
    """Return the ratios by which every group costs the same, nearest to the target (PaddleSlim: to within 0.015).

    Raises:
        UserError: the layers that may be pruned do not hold so much.
    """
    curves = {group.name: curve(sensitivities[group.name]) for group in candidates.groups}

    def ratios(loss: float) -> dict[str, float]:
        return {name: float(np.interp(loss, losses, shares)) for name, (shares, losses) in curves.items()}

    return search(candidates, target, ratios, most=max(losses[-1] for _, losses in curves.values()))
