"""How much of a graph is to go, and the search for what reaches it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from qatflow.base.errors import UserError
from qatflow.compress.pruning.candidates import Candidates
from qatflow.graph.counts import Count, total
from qatflow.graph.graph import Graph

Measure = Literal["flops", "params"]
HALVINGS = 30  # of the interval searched: far finer than one channel of any layer


@dataclass(frozen=True)
class Target:
    """What is to be removed.

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


def search(
    candidates: Candidates, target: Target, ratios: Callable[[float], Mapping[str, float]], most: float
) -> Ratios:
    """Return the ratios that come nearest to the target, by bisection.

    Channels are whole, so the target is reached to about the share of one channel.

    Args:
        candidates: what may go.
        target: what is to go.
        ratios: for a number from 0 to `most`, the ratios of the groups; they do not fall as the number rises.
        most: end of the search.

    Raises:
        UserError: not even `most` removes so much.
    """

    def tried(number: float) -> Ratios:
        by_group = ratios(number)
        return Ratios(by_group, target.removed(candidates.graph, candidates.thin(by_group)))

    best = tried(most)
    if best.reached < target.ratio:
        what = "multiply-adds" if target.of == "flops" else "parameters"
        raise UserError(
            f"target_ratio: {100 * target.ratio:g} % of the {what} cannot go, the layers that pruned_params names hold "
            f"{100 * best.reached:.1f} %: give a smaller target_ratio, or let pruned_params name more layers"
        )
    low, high = 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = tried(middle)
        if abs(found.reached - target.ratio) < abs(best.reached - target.ratio):
            best = found
        if found.reached > target.ratio:
            high = middle
        else:
            low = middle
    return best
