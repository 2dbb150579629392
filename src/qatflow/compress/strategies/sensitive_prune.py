"""SensitivePruneStrategy: layers whose pruning costs less accuracy lose more channels, in one step or several."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qatflow.compress.pruning.candidates import Candidates
from qatflow.compress.pruning.sensitive import sensitive_ratios, step_ratio
from qatflow.compress.pruning.sensitivity import Sensitivity, measure
from qatflow.compress.pruning.target import Ratios, Target
from qatflow.compress.strategies.prune import METRICS, PruneStrategy
from qatflow.config.recipe.pruning import SensitivePruneStrategySection, StructurePrunerSection
from qatflow.graph.counts import Count, total
from qatflow.graph.graph import Graph
from qatflow.training.loop import Trainer

CONVERGED = 0.005
"""Change of the metric from one evaluation to the next, as a share of it, below which the next step is taken."""

FIGURES = {"acc_top1": "validation_top1", "acc_top5": "validation_top5"}
"""The metric in the history."""


class SensitivePruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name. Before each step the sensitivities of what is left are measured."""

    def __init__(self, section: SensitivePruneStrategySection, pruner: StructurePrunerSection, experiment: Path):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
            experiment: folder to which sensitivities_file is relative.
        """
        super().__init__(section, pruner)
        self.settings = section
        self.experiment = experiment
        self._measured: dict[str, Sensitivity] = {}

    def due(self, trainer: Trainer) -> bool:
        """Return whether it is `start_epoch`, or the metric has settled, or `end_epoch` allows no delay."""
        left = self.settings.num_steps - len(self.done)
        if left == 0:
            return False
        if not self.done:
            return trainer.epoch == self.settings.start_epoch
        return self._settled(trainer) or trainer.epoch + left > self.settings.end_epoch

    def ratios(self, trainer: Trainer, found: Candidates) -> Ratios:
        """Return the shares by which all groups cost the same."""
        self._measured = measure(
            found,
            self.settings.delta_rate,
            lambda graph: self._tried(trainer, graph),
            self._file(trainer),
            {"data": trainer.data.content_digest(), "metric": self.settings.metric_name, "of": self.settings.eval_rate},
            {} if self.done else self._known(),
        )
        return sensitive_ratios(found, self._measured, self._target(found))

    def details(self) -> Mapping[str, Any]:
        """Return the sensitivities, in the form of the compress YAML."""
        measured = self._measured.items()
        return {
            "sensitivities": {
                name: {"pruned_percent": list(one.ratios), "loss": list(one.losses)} for name, one in measured
            }
        }

    def _target(self, found: Candidates) -> Target:
        """Return what this step has to remove of what is left, whatever those before it have reached."""
        settings = self.settings
        step = step_ratio(settings.target_ratio, settings.num_steps)
        whole = Target(step, settings.target)
        if not self.done:
            return whole
        wanted = whole.size(Count(**self.done[0]["before"])) * (1 - step) ** (len(self.done) + 1)
        return Target(1 - wanted / whole.size(total(found.graph)), settings.target)

    def _tried(self, trainer: Trainer, graph: Graph) -> float:
        own = trainer.model.weights()
        try:
            self._assign(trainer, graph.weights)
            return trainer.evaluate(self.settings.eval_rate or 1.0)[METRICS[self.settings.metric_name]]
        finally:
            self._assign(trainer, own)

    @staticmethod
    def _assign(trainer: Trainer, weights: Mapping[str, Any]) -> None:
        for name, variable in trainer.model.variables.items():
            variable.assign(weights[name])

    def _settled(self, trainer: Trainer) -> bool:
        """Return whether the two last evaluations since the last step are nearly the same."""
        metric, last = FIGURES[self.settings.metric_name], self.done[-1]["epoch"]
        found = [getattr(figures, metric) for figures in trainer.history if figures.epoch >= last]
        values = [value for value in found if value is not None]
        return len(values) > 1 and abs(values[-1] - values[-2]) < CONVERGED * values[-2]

    def _file(self, trainer: Trainer) -> Path:
        name = self.settings.sensitivities_file + (f".epoch{trainer.epoch}" if self.done else "")
        return self.experiment / name

    def _known(self) -> dict[str, Sensitivity]:
        given = self.settings.sensitivities
        return {name: Sensitivity(tuple(one.pruned_percent), tuple(one.loss)) for name, one in given.items()}
