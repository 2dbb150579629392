"""UniformPruneStrategy: before `start_epoch` every layer loses the share of its channels that reaches the target."""

from qatflow.compress.pruning.candidates import Candidates
from qatflow.compress.pruning.target import Ratios, Target
from qatflow.compress.pruning.uniform import uniform_ratios
from qatflow.compress.strategies.prune import PruneStrategy
from qatflow.config.recipe.pruning import StructurePrunerSection, UniformPruneStrategySection
from qatflow.training.loop import Trainer


class UniformPruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name."""

    def __init__(self, section: UniformPruneStrategySection, pruner: StructurePrunerSection):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
        """
        super().__init__(section, pruner)
        self.target = Target(section.target_ratio, section.target)

    def ratios(self, trainer: Trainer, found: Candidates) -> Ratios:
        """Return the same share for all groups."""
        return uniform_ratios(found, self.target)
