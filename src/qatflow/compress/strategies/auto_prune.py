"""AutoPruneStrategy: before `start_epoch` each layer loses the share of its channels that a search has found best."""

from collections.abc import Mapping

from qatflow.base.errors import UserError
from qatflow.compress.pruning.candidates import Candidates
from qatflow.compress.pruning.target import Ratios, Target
from qatflow.compress.strategies.prune import PruneStrategy
from qatflow.config.recipe.pruning import StructurePrunerSection
from qatflow.config.recipe.search import AutoPruneStrategySection
from qatflow.training.loop import Trainer


class AutoPruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name; the search itself is over when training begins (`qatflow.search`)."""

    def __init__(
        self, section: AutoPruneStrategySection, pruner: StructurePrunerSection, searched: Mapping[str, float] | None
    ):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
            searched: share of each group's channels that goes.

        Raises:
            UserError: there are none.
        """
        super().__init__(section, pruner)
        if searched is None:
            raise UserError("AutoPruneStrategy: no search was made; give compress.py its best.json (--search)")
        self.searched = searched

    def ratios(self, trainer: Trainer, found: Candidates) -> Ratios:
        """Return the shares that were found.

        Raises:
            UserError: they are of another network than this.
        """
        if set(self.searched) != {group.name for group in found.groups}:
            raise UserError(
                "AutoPruneStrategy: the search was over other groups of layers than the network has at start_epoch: "
                "let strategies that change its layers come in an experiment of their own, and begin with its model "
                "(compressor.init_model)"
            )
        removed = Target(0.0).removed(found.graph, found.thin(self.searched))
        return Ratios(self.searched, removed)
