"""What the pruning strategies share: channels go before an epoch begins, and training goes on with what is left."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qatflow.compress.pruning.candidates import Candidates, candidates
from qatflow.compress.pruning.report import pruning_report
from qatflow.compress.pruning.target import Ratios
from qatflow.config.recipe.pruning import PruneStrategySection, StructurePrunerSection
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.training.loop import Trainer
from qatflow.training.strategy import Strategy

METRICS = {"acc_top1": 1, "acc_top5": 2}
"""Place of a metric in what the trainer's evaluation returns, by PaddleSlim's name."""


class PruneStrategy(Strategy):
    """Base of the strategies that prune. Their graph takes the trainer's place: all after it sees a thinner network.

    Attributes:
        done: what each pruning has made, as `PruningReport.to_json`, with its epoch, the metric before and after it,
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
    def ratios(self, trainer: Trainer, found: Candidates) -> Ratios:
        """Return which share of each group goes now."""

    def due(self, trainer: Trainer) -> bool:
        """Return whether channels are to go before this epoch, before its first step: where it is `start_epoch`."""
        return trainer.epoch == self.section.start_epoch and not self.done

    def details(self) -> Mapping[str, Any]:
        """Return what else is to be reported of the pruning whose `ratios` have just been asked for."""
        return {"sensitivities": {}}

    def on_epoch_begin(self, trainer: Trainer) -> None:
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

    def _prune(self, trainer: Trainer) -> None:
        found = candidates(trainer.float_graph(), self.section.pruned_params, self.pruner.criterions)
        ratios = self.ratios(trainer, found)
        thinner = found.thin(ratios.by_group)
        report = pruning_report(found, ratios.by_group, thinner)
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

    def _metric(self, trainer: Trainer) -> float:
        return trainer.evaluate()[METRICS[self.section.metric_name]]


def _values(graph: Graph) -> int:
    return sum(weight.size for weight in graph.weights.values())
