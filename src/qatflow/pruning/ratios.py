"""Which share of each channel group goes: uniform, by sensitivity, or from a search.

Uniform: one ratio for all groups (PaddleSlim's UniformPruneStrategy).

By sensitivity: every group costs the same accuracy (PaddleSlim's SensitivePruneStrategy). The ratio of a group is the
largest that its curve allows for one loss, and that loss is searched for until the target is reached. PaddleSlim fits
a cubic to each curve by least squares. A cubic through noisy points bends down again, so that several ratios have the
same loss, or none has, and it leaves the measured range. Here a curve is the rising one nearest to the points by least
squares (isotonic regression), straight between them, starting at (0, 0); and no group goes beyond the last ratio that
was measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.graph.counts import Count, total
from qatflow.graph.graph import Graph
from qatflow.pruning.candidates import Candidates
from qatflow.pruning.sensitivity import Sensitivity

Measure = Literal["flops", "params"]
HALVINGS = 30
"""Of the interval searched: far finer than one channel of any layer."""
LEAST_SLOPE = 1e-5
"""Top-1 lost when everything is pruned, added to every curve, so that a flat one too has one ratio for one loss."""


@dataclass(frozen=True)
class PruningTarget:
    """How much is to be removed.

    Attributes:
        ratio: share of 1.
        of: of the multiply-adds (`flops`, as in PaddleSlim) or the parameters.
    """

    ratio: float
    of: Measure = "flops"

    def removed(self, before: Graph, after: Graph) -> float:
        """Return the share that is gone."""
        return 1 - self.size(total(after)) / self.size(total(before))

    def size(self, count: Count) -> int:
        """Return what the ratio is a share of."""
        return count.multiply_adds if self.of == "flops" else count.parameters


@dataclass(frozen=True)
class Ratios:
    """Shares of the groups' units that go.

    Attributes:
        by_group: the share of each group.
        reached: the share of the whole graph that goes by them.
    """

    by_group: Mapping[str, float]
    reached: float


def nearest_ratios(
    candidates: Candidates, target: PruningTarget, ratios: Callable[[float], Mapping[str, float]], most: float
) -> Ratios:
    """Return the ratios that come nearest to the target, by bisection.

    Channels are whole, so the target is reached to about the share of one channel.

    Args:
        candidates: what may go.
        target: how much is to go.
        ratios: for a number from 0 to `most`, the ratios of the groups; they do not fall as the number rises.
        most: end of the search.

    Raises:
        UserError: not even `most` removes so much.
    """

    def at(number: float) -> Ratios:
        by_group = ratios(number)
        return Ratios(by_group, target.removed(candidates.graph, candidates.thin(by_group)))

    check_reachable(candidates, target, ratios(most))
    best = at(most)
    low, high = 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tried = at(middle)
        if abs(tried.reached - target.ratio) < abs(best.reached - target.ratio):
            best = tried
        if tried.reached > target.ratio:
            high = middle
        else:
            low = middle
    return best


def check_reachable(candidates: Candidates, target: PruningTarget, most: Mapping[str, float]) -> None:
    """Raise if not even the largest ratios remove so much.

    Args:
        candidates: what may go.
        target: how much is to go.
        most: largest ratio of each group.

    Raises:
        UserError: they remove less than the target.
    """
    reached = target.removed(candidates.graph, candidates.thin(most))
    if reached < target.ratio:
        unit = "multiply-adds" if target.of == "flops" else "parameters"
        kept = f" ({candidates.message()})" if candidates.frozen else ""
        raise UserError(
            f"target_ratio: {100 * target.ratio:g} % of the {unit} cannot go, the layers that pruned_params names hold "
            f"{100 * reached:.1f} %{kept}: give a smaller target_ratio, or let pruned_params name more layers"
        )


def uniform_ratios(candidates: Candidates, target: PruningTarget) -> Ratios:
    """Return the one ratio that comes nearest to the target, for every group (PaddleSlim: to within 0.01).

    Raises:
        UserError: the layers that may be pruned do not hold so much.
    """

    def ratios(ratio: float) -> dict[str, float]:
        return {group.name: ratio for group in candidates.groups}

    return nearest_ratios(candidates, target, ratios, most=1.0)


def sensitive_ratios(candidates: Candidates, sensitivities: Mapping[str, Sensitivity], target: PruningTarget) -> Ratios:
    """Return the ratios by which every group costs the same, nearest to the target (PaddleSlim: to within 0.015).

    Raises:
        UserError: the layers that may be pruned do not hold so much.
    """
    curves = {group.name: curve(sensitivities[group.name]) for group in candidates.groups}

    def ratios(loss: float) -> dict[str, float]:
        return {name: float(np.interp(loss, losses, shares)) for name, (shares, losses) in curves.items()}

    return nearest_ratios(candidates, target, ratios, most=max(losses[-1] for _, losses in curves.values()))


def step_ratio(target_ratio: float, num_steps: int) -> float:
    """Return the share that one of `num_steps` steps removes of what is left: 1 − (1 − target)^(1 / steps)."""
    return 1 - (1 - target_ratio) ** (1 / num_steps)


def curve(sensitivity: Sensitivity) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the fitted curve: ratios, rising, and the losses at them, rising; both begin with 0."""
    # here, since importing it takes a third of a second, and most jobs prune nothing
    from scipy.optimize import isotonic_regression

    ratios = np.asarray([0.0, *sensitivity.ratios])
    fitted = isotonic_regression(np.asarray(sensitivity.losses, float)).x if sensitivity.losses else np.empty(0)
    return ratios, np.concatenate([[0.0], np.maximum(fitted, 0)]) + LEAST_SLOPE * ratios


def searched_ratios(path: Path) -> dict[str, float]:
    """Return the share of each group's channels that goes in the best candidate of a search.

    Args:
        path: best.json of the search.

    Raises:
        UserError: the search was not one of ratios.
    """
    about = read_sealed(path)["best"]["about"]
    if "ratios" not in about:
        raise UserError(f"{path}: no search of AutoPruneStrategy: its best candidate has no ratios")
    return {name: float(ratio) for name, ratio in about["ratios"].items()}
