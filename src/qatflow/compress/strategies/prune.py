"""The pruning strategies: channels go before an epoch begins, and training goes on with what is left."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.config.recipe.pruning import (
    PruneStrategySection,
    SensitivePruneStrategySection,
    StructurePrunerSection,
    UniformPruneStrategySection,
)
from qatflow.config.recipe.search import AutoPruneStrategySection
from qatflow.graph.counts import Count, total
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.pruning.candidates import Candidates, candidates
from qatflow.pruning.ratios import PruningTarget, Ratios, sensitive_ratios, step_ratio, uniform_ratios
from qatflow.pruning.record import pruning_record
from qatflow.pruning.sensitivity import Sensitivity, measure
from qatflow.training.strategy import Strategy, TrainingRun

METRICS = {"acc_top1": 1, "acc_top5": 2}
"""Place of a metric in what the trainer's evaluation returns, by PaddleSlim's name."""
CONVERGED = 0.005
"""Change of the metric from one evaluation to the next, as a share of it, below which the next step is taken."""
FIGURES = {"acc_top1": "validation_top1", "acc_top5": "validation_top5"}
"""The metric in the history."""


class PruneStrategy(Strategy):
    """Base of the strategies that prune. Their graph takes the trainer's place: all after it sees a thinner network.

    Attributes:
        done: what each pruning has made, as `PruningRecord.to_json`, with its epoch, the metric before and after it,
            and the sensitivities that it went by.
    """

    def __init__(self, section: PruneStrategySection, pruner: StructurePrunerSection):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
        """
        self.section = section
        self.pruner = pruner
        self.done: list[dict[str, Any]] = []

    @abstractmethod
    def ratios(self, trainer: TrainingRun, found: Candidates) -> Ratios:
        """Return which share of each group goes now."""

    def due(self, trainer: TrainingRun) -> bool:
        """Return whether channels are to go before this epoch, before its first step: where it is `start_epoch`."""
        return trainer.epoch == self.section.start_epoch and not self.done

    def details(self) -> Mapping[str, Any]:
        """Return what else is to be reported of the pruning whose `ratios` have just been asked for."""
        return {"sensitivities": {}}

    def on_epoch_begin(self, trainer: TrainingRun) -> None:
        """Remove channels, where it is time."""
        if trainer.step == 0 and self.due(trainer):
            self._prune(trainer)

    def notes(self) -> Mapping[str, Any]:
        """Remember what has been done."""
        return {"done": self.done}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
        self.done = list(notes["done"])

    def restored(self, graph: Graph, folder: Path) -> Graph:
        """Return the thinner graph, where channels have been removed."""
        if not self.done:
            return graph
        kept = load(self._kept(folder))
        return min(graph, kept, key=_values)  # another strategy may have removed more since

    def _kept(self, folder: Path) -> Path:
        """Return the folder of the last thinner graph: one for each, since the state may be of before the last."""
        return folder / f"pruned-{type(self).__name__}-{self.section.start_epoch}-{len(self.done)}"

    def _prune(self, trainer: TrainingRun) -> None:
        found = candidates(trainer.float_graph(), self.section.pruned_params, self.pruner.criterions)
        ratios = self.ratios(trainer, found)
        thinner = found.thin(ratios.by_group)
        report = pruning_record(found, ratios.by_group, thinner)
        before = self._metric(trainer)
        trainer.rebuild(thinner)
        after = self._metric(trainer)
        measured = {"metric": self.section.metric_name, "metric_before": before, "metric_after": after}
        self.done.append({"epoch": trainer.epoch, **measured, **self.details(), **report.to_json()})
        save(thinner, self._kept(trainer.folder))
        print(f"epoch {trainer.epoch}: {report.text()}", flush=True)
        print(
            f"epoch {trainer.epoch}: {self.section.metric_name} {before:.4f} before pruning, {after:.4f} after it and "
            "before training",
            flush=True,
        )

    def _metric(self, trainer: TrainingRun) -> float:
        return trainer.evaluate()[METRICS[self.section.metric_name]]


class UniformPruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name."""

    def __init__(self, section: UniformPruneStrategySection, pruner: StructurePrunerSection):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
        """
        super().__init__(section, pruner)
        self.target = PruningTarget(section.target_ratio, section.target)

    def ratios(self, trainer: TrainingRun, found: Candidates) -> Ratios:
        """Return the same share for all groups."""
        return uniform_ratios(found, self.target)


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

    def due(self, trainer: TrainingRun) -> bool:
        """Return whether it is `start_epoch`, or the metric has settled, or `end_epoch` allows no delay."""
        left = self.settings.num_steps - len(self.done)
        if left == 0:
            return False
        if not self.done:
            return trainer.epoch == self.settings.start_epoch
        return self._settled(trainer) or trainer.epoch + left > self.settings.end_epoch

    def ratios(self, trainer: TrainingRun, found: Candidates) -> Ratios:
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

    def _target(self, found: Candidates) -> PruningTarget:
        """Return what this step has to remove of what is left, whatever those before it have reached."""
        settings = self.settings
        step = step_ratio(settings.target_ratio, settings.num_steps)
        whole = PruningTarget(step, settings.target)
        if not self.done:
            return whole
        wanted = whole.size(Count(**self.done[0]["before"])) * (1 - step) ** (len(self.done) + 1)
        return PruningTarget(1 - wanted / whole.size(total(found.graph)), settings.target)

    def _tried(self, trainer: TrainingRun, graph: Graph) -> float:
        own = trainer.model.weights()
        try:
            self._assign(trainer, graph.weights)
            return trainer.evaluate(self.settings.eval_rate or 1.0)[METRICS[self.settings.metric_name]]
        finally:
            self._assign(trainer, own)

    @staticmethod
    def _assign(trainer: TrainingRun, weights: Mapping[str, Any]) -> None:
        for name, variable in trainer.model.variables.items():
            variable.assign(weights[name])

    def _settled(self, trainer: TrainingRun) -> bool:
        """Return whether the two last evaluations since the last step are nearly the same."""
        metric, last = FIGURES[self.settings.metric_name], self.done[-1]["epoch"]
        found = [getattr(figures, metric) for figures in trainer.history if figures.epoch >= last]
        values = [value for value in found if value is not None]
        return len(values) > 1 and abs(values[-1] - values[-2]) < CONVERGED * values[-2]

    def _file(self, trainer: TrainingRun) -> Path:
        name = self.settings.sensitivities_file + (f".epoch{trainer.epoch}" if self.done else "")
        return self.experiment / name

    def _known(self) -> dict[str, Sensitivity]:
        given = self.settings.sensitivities
        return {name: Sensitivity(tuple(one.pruned_percent), tuple(one.loss)) for name, one in given.items()}


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

    def ratios(self, trainer: TrainingRun, found: Candidates) -> Ratios:
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
        removed = PruningTarget(0.0).removed(found.graph, found.thin(self.searched))
        return Ratios(self.searched, removed)


def _values(graph: Graph) -> int:
    return sum(weight.size for weight in graph.weights.values())
