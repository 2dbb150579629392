"""One ratio for all layers: PaddleSlim's UniformPruneStrategy."""

from qatflow.compress.pruning.candidates import Candidates
from qatflow.compress.pruning.target import Ratios, Target, search


def uniform_ratios(candidates: Candidates, target: Target) -> Ratios:
    """Return the one ratio that comes nearest to the target, for every group (PaddleSlim: to within 0.01).

    Raises:
        UserError: the layers that may be pruned do not hold so much.
    """
    return search(candidates, target, lambda ratio: {group.name: ratio for group in candidates.groups}, most=1.0)
