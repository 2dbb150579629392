"""The table of compression strategies, by the sections of the compress YAML that describe them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.compress.quantizers.quantised_model import Quantisers
from qatflow.compress.strategies.clustering import ClusteringStrategy
from qatflow.compress.strategies.distillation import DistillationStrategy, check_thinner
from qatflow.compress.strategies.distillers import DISTILLERS
from qatflow.compress.strategies.prune import (
    AutoPruneStrategy,
    PruneStrategy,
    SensitivePruneStrategy,
    UniformPruneStrategy,
)
from qatflow.compress.strategies.quantization import Export, QuantizationStrategy
from qatflow.compress.strategies.sparsity import SparsityStrategy
from qatflow.config.recipe.distillation import DistillationStrategySection
from qatflow.config.recipe.pruning import (
    PruneStrategySection,
    SensitivePruneStrategySection,
    UniformPruneStrategySection,
)
from qatflow.config.recipe.recipe import CompressConfig, QuantizationStrategySection
from qatflow.config.recipe.search import AutoPruneStrategySection, LightNASStrategySection
from qatflow.config.recipe.sparsity import ClusteringStrategySection, SparsityStrategySection
from qatflow.config.sections.base import Section
from qatflow.graph.graph import Graph
from qatflow.training.strategy import Strategy, TrainingRun


class LightNASStrategy(Strategy):
    """PaddleSlim's strategy of the name: training goes on with the best network of a search (`qatflow.search`).

    That network replaces the float model before there is a trainer (`compress/run.py`), so that the other strategies
    see it from the start; all that is left to do here is to print a line.
    """

    def on_compression_begin(self, trainer: TrainingRun) -> None:
        """Print which network is trained."""
        if trainer.epoch == trainer.step == 0:
            print("LightNASStrategy: training continues with the best network of the search", flush=True)


@dataclass(frozen=True)
class StrategySetup:
    """What strategies are made from.

    Attributes:
        config: the compress YAML.
        graph: float graph that training begins with.
        teacher: float graph that distillation follows.
        quantisers: hooks of the trainer's model.
        export: which epoch's quantised graph is kept.
        prepared: changes the float graph when quantisation, or the clustering before it, begins; None: nothing.
        experiment: folder that paths of the YAML are relative to.
        searched: share of each group's channels that goes, from a search.
    """

    config: CompressConfig
    graph: Graph
    teacher: Graph
    quantisers: Quantisers
    export: Export
    prepared: Callable[[Graph], Graph] | None = None
    experiment: Path = Path()
    searched: Mapping[str, float] | None = None

    def strategy(self, name: str) -> Strategy:
        """Return the strategy with a name of the YAML.

        Raises:
            UserError: it does not fit the graph or the teacher.
        """
        section = self.config.strategies[name]
        return STRATEGIES[type(section)](self, section)


def _distillation(setup: StrategySetup, section: DistillationStrategySection) -> Strategy:
    sections = {name: setup.config.distillers[name] for name in section.distillers}
    distillers = {name: DISTILLERS[type(part)](part) for name, part in sections.items()}
    for pruning in setup.config.strategies.values():
        if isinstance(pruning, PruneStrategySection) and pruning.start_epoch < section.end_epoch:
            check_thinner(distillers, setup.graph, setup.teacher, pruning.pruned_params)
    return DistillationStrategy(section, distillers, setup.graph, setup.teacher)


def _quantization(setup: StrategySetup, section: QuantizationStrategySection) -> Strategy:
    # scaling the channels one by one would give their kernels other values than those of the clusters
    prepared = setup.prepared if setup.quantisers.clusters is None else None
    return QuantizationStrategy(section, setup.quantisers, setup.export, prepared)


def _uniform(setup: StrategySetup, section: UniformPruneStrategySection) -> Strategy:
    return _checked(setup, UniformPruneStrategy(section, setup.config.pruners[section.pruner]))


def _sensitive(setup: StrategySetup, section: SensitivePruneStrategySection) -> Strategy:
    return _checked(setup, SensitivePruneStrategy(section, setup.config.pruners[section.pruner], setup.experiment))


def _auto(setup: StrategySetup, section: AutoPruneStrategySection) -> Strategy:
    return _checked(setup, AutoPruneStrategy(section, setup.config.pruners[section.pruner], setup.searched))


def _checked(setup: StrategySetup, strategy: PruneStrategy) -> PruneStrategy:
    pruning = [one for one in setup.config.strategies.values() if isinstance(one, PruneStrategySection)]
    strategy.check(setup.graph, alone=len(pruning) == 1)
    return strategy


def _light_nas(setup: StrategySetup, section: LightNASStrategySection) -> Strategy:
    return LightNASStrategy()


def _sparsity(setup: StrategySetup, section: SparsityStrategySection) -> Strategy:
    return SparsityStrategy(section, setup.graph)


def _clustering(setup: StrategySetup, section: ClusteringStrategySection) -> Strategy:
    return ClusteringStrategy(setup.quantisers, setup.graph, setup.prepared)


STRATEGIES: dict[type[Section], Callable[[StrategySetup, Any], Strategy]] = {
    DistillationStrategySection: _distillation,
    UniformPruneStrategySection: _uniform,
    SensitivePruneStrategySection: _sensitive,
    AutoPruneStrategySection: _auto,
    LightNASStrategySection: _light_nas,
    SparsityStrategySection: _sparsity,
    ClusteringStrategySection: _clustering,
    QuantizationStrategySection: _quantization,
}
