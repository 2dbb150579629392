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
from qatflow.pruning.ratios import (
    PruningTarget,
    Ratios,
    check_reachable,
    sensitive_ratios,
    step_ratio,
    uniform_ratios,
)
from qatflow.pruning.record import pruning_record
from qatflow.pruning.sensitivity import Sensitivity, measure, swept_ratios
from qatflow.training.strategy import Strategy, TrainingRun

METRICS = {"acc_top1": 1, "acc_top5": 2}
"""Place of a metric in the result of the trainer's evaluation, by PaddleSlim's name."""
CONVERGED = 0.005
"""Relative change of the metric from one evaluation to the next, below which the next step is taken."""
FIGURES = {"acc_top1": "validation_top1", "acc_top5": "validation_top5"}
"""Field of the metric in the history, by PaddleSlim's name."""


class PruneStrategy(Strategy):
    """Base of the strategies that prune: they replace the trainer's graph by a thinner one.

    Attributes:
        done: a record of each pruning, as `PruningRecord.to_json`, with its epoch, the metric before and after it, and
            the sensitivities that it used.
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

    def check(self, graph: Graph, *, alone: bool) -> None:
        """Raise before training what pruning would raise after some epochs, and print what frozen layers keep.

        Args:
            graph: float graph that training begins with.
            alone: whether no other strategy prunes it before this one.

        Raises:
            UserError: nothing that pruned_params names can be pruned, or not as much as target_ratio.
        """
        prunable = candidates(graph, self.section.pruned_params, self.pruner.criterions)
        if prunable.frozen:
            print(prunable.message(), flush=True)
        if alone:
            self.check_target(prunable)

    def check_target(self, prunable: Candidates) -> None:
        """Raise if the groups do not hold what is to go; a search has found ratios that do."""

    @abstractmethod
    def ratios(self, trainer: TrainingRun, prunable: Candidates) -> Ratios:
        """Return which share of each group goes now."""

    def due(self, trainer: TrainingRun) -> bool:
        """Return whether channels are removed before the first step of this epoch: if it is `start_epoch`."""
        return trainer.epoch == self.section.start_epoch and not self.done

    def details(self) -> Mapping[str, Any]:
        """Return what else to record of the pruning whose `ratios` were just computed."""
        return {"sensitivities": {}}

    def on_epoch_begin(self, trainer: TrainingRun) -> None:
        """Remove channels, if it is time."""
        if trainer.step == 0 and self.due(trainer):
            self._prune(trainer)

    def notes(self) -> Mapping[str, Any]:
        """Remember the prunings so far."""
        return {"done": self.done}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
        self.done = list(notes["done"])

    def restored(self, graph: Graph, folder: Path) -> Graph:
        """Return the thinner graph, if channels have been removed."""
        if not self.done:
            return graph
        saved = load(self._saved(folder))
        return min(graph, saved, key=_values)  # another strategy may have removed more since

    def _saved(self, folder: Path) -> Path:
        """Return the folder of the last thinner graph; each has its own, since the state may be of an earlier one."""
        return folder / f"pruned-{type(self).__name__}-{self.section.start_epoch}-{len(self.done)}"

    def _prune(self, trainer: TrainingRun) -> None:
        prunable = candidates(trainer.float_graph(), self.section.pruned_params, self.pruner.criterions)
        ratios = self.ratios(trainer, prunable)
        thinner = prunable.thin(ratios.by_group)
        record = pruning_record(prunable, ratios.by_group, thinner)
        before = self._metric(trainer)
        trainer.rebuild(thinner)
        after = self._metric(trainer)
        measured = {"metric": self.section.metric_name, "metric_before": before, "metric_after": after}
        self.done.append({"epoch": trainer.epoch, **measured, **self.details(), **record.to_json()})
        save(thinner, self._saved(trainer.folder))
        print(f"epoch {trainer.epoch}: {record.text()}", flush=True)
        print(
            f"epoch {trainer.epoch}: {self.section.metric_name} {before:.4f} before pruning, {after:.4f} after it and "
            "before training",
            flush=True,
        )

    def _metric(self, trainer: TrainingRun) -> float:
        return trainer.evaluate()[METRICS[self.section.metric_name]]


class UniformPruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name: every layer loses the same share of its channels, which reaches the target."""

    def __init__(self, section: UniformPruneStrategySection, pruner: StructurePrunerSection):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
        """
        super().__init__(section, pruner)
        self.target = PruningTarget(section.target_ratio, section.target)

    def check_target(self, prunable: Candidates) -> None:
        """Raise if not even all channels but one of each layer are enough."""
        check_reachable(prunable, self.target, {group.name: 1.0 for group in prunable.groups})

    def ratios(self, trainer: TrainingRun, prunable: Candidates) -> Ratios:
        """Return the same share for all groups."""
        return uniform_ratios(prunable, self.target)


class SensitivePruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name: layers whose pruning costs less accuracy lose more channels.

    It takes one step or several; before each, the sensitivities of what is left are measured.
    """

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

    def check_target(self, prunable: Candidates) -> None:
        """Raise if not even the largest ratios whose cost is measured, or known, are enough for the first step."""
        measured, known = swept_ratios(self.settings.delta_rate)[-1], self._known()
        most = {name: known[name].ratios[-1] if name in known else measured for name in prunable.order}
        check_reachable(prunable, self._target(prunable), most)

    def ratios(self, trainer: TrainingRun, prunable: Candidates) -> Ratios:
        """Return the shares at which all groups cost the same."""
        self._measured = measure(
            prunable,
            self.settings.delta_rate,
            lambda graph: self._accuracy_of(trainer, graph),
            self._file(trainer),
            {"data": trainer.data.content_digest(), "metric": self.settings.metric_name, "of": self.settings.eval_rate},
            {} if self.done else self._known(),
        )
        return sensitive_ratios(prunable, self._measured, self._target(prunable))

    def details(self) -> Mapping[str, Any]:
        """Return the sensitivities, in the form of the compress YAML."""
        measured = self._measured.items()
        return {
            "sensitivities": {
                name: {"pruned_percent": list(curve.ratios), "loss": list(curve.losses)} for name, curve in measured
            }
        }

    def _target(self, prunable: Candidates) -> PruningTarget:
        """Return what this step has to remove of what is left, whatever the steps before it have removed."""
        settings = self.settings
        step = step_ratio(settings.target_ratio, settings.num_steps)
        whole = PruningTarget(step, settings.target)
        if not self.done:
            return whole
        wanted = whole.size(Count(**self.done[0]["before"])) * (1 - step) ** (len(self.done) + 1)
        return PruningTarget(1 - wanted / whole.size(total(prunable.graph)), settings.target)

    def _accuracy_of(self, trainer: TrainingRun, graph: Graph) -> float:
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
        """Return whether the last two evaluations since the last step are nearly the same."""
        metric, last = FIGURES[self.settings.metric_name], self.done[-1]["epoch"]
        measured = [getattr(figures, metric) for figures in trainer.history if figures.epoch >= last]
        values = [value for value in measured if value is not None]
        return len(values) > 1 and abs(values[-1] - values[-2]) < CONVERGED * values[-2]

    def _file(self, trainer: TrainingRun) -> Path:
        name = self.settings.sensitivities_file + (f".epoch{trainer.epoch}" if self.done else "")
        return self.experiment / name

    def _known(self) -> dict[str, Sensitivity]:
        known = self.settings.sensitivities.items()
        return {name: Sensitivity(tuple(curve.pruned_percent), tuple(curve.loss)) for name, curve in known}


class AutoPruneStrategy(PruneStrategy):
    """PaddleSlim's strategy of the name: each layer loses the share of its channels that a search found best.

    The search itself is over when training begins (`qatflow.search`).
    """

    def __init__(
        self, section: AutoPruneStrategySection, pruner: StructurePrunerSection, searched: Mapping[str, float] | None
    ):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            pruner: that it names.
            searched: share of each group's channels that goes.

        Raises:
            UserError: there is no result of a search.
        """
        super().__init__(section, pruner)
        if searched is None:
            raise UserError(
                "AutoPruneStrategy: there is no result of its search; give compress.py its best.json (--search)"
            )
        self.searched = searched

    def ratios(self, trainer: TrainingRun, prunable: Candidates) -> Ratios:
        """Return the shares that the search found.

        Raises:
            UserError: the search was over another network.
        """
        if set(self.searched) != {group.name for group in prunable.groups}:
            raise UserError(
                "AutoPruneStrategy: the search was over other groups of layers than the network has at start_epoch: "
                "let strategies that change its layers come in an experiment of their own, and begin with its model "
                "(compressor.init_model)"
            )
        removed = PruningTarget(0.0).removed(prunable.graph, prunable.thin(self.searched))
        return Ratios(self.searched, removed)


def _values(graph: Graph) -> int:
    return sum(weight.size for weight in graph.weights.values())
