"""The Compressor: takes a float graph, data and a compress YAML; returns the graph with trained integers and scales."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.compress.preparation import equalise, with_positive_gammas
from qatflow.compress.widths import check_widths
from qatflow.config.recipe.recipe import BY_CHANNEL, CompressConfig, QuantizationStrategySection, undeployable
from qatflow.config.sections.compress import CompressSection
from qatflow.data.manifest import Manifest
from qatflow.graph.cut import cut
from qatflow.graph.graph import ActivationScale, Graph, WeightScale
from qatflow.graph.kernels import trained_kernels
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.training.from_config import PlannedTraining, int8_training
from qatflow.training.history import EpochFigures
from qatflow.trial.start import try_lowering


@dataclass(frozen=True)
class Compressed:
    """The result of a compression run.

    Attributes:
        graph: quantised, with the integers and scales of training.
        history: figures of each epoch.
        pruning: record of each pruning, in order, as in `PruneStrategy.done`.
        exported_epoch: the epoch whose graph this is.
    """

    graph: Graph
    history: list[EpochFigures]
    pruning: list[dict[str, Any]]
    exported_epoch: int | None


@dataclass(frozen=True)
class Compressor:
    """One compression run, set up but not started.

    Attributes:
        graph: float graph with the pretrained weights.
        data: prepared pictures.
        section: the configuration's compress section.
        config: the compress YAML.
        seed: of order, augmentation and dropout.
        keep_in_float: layers whose name contains one of these texts stay in float, as well as those of the YAML's
            skip_pattern.
        teacher: float graph that distillation follows; None: the graph itself, as it is now.
        searched: share of each group's channels that goes, from a search; None without one.
    """

    graph: Graph
    data: Manifest
    section: CompressSection
    config: CompressConfig
    seed: int
    keep_in_float: tuple[str, ...] = ()
    teacher: Graph | None = None
    searched: Mapping[str, float] | None = None

    @property
    def skip(self) -> tuple[str, ...]:
        """Texts in the names of the layers that stay in float."""
        return (*self.strategy.skip_pattern, *self.keep_in_float)

    @property
    def strategy(self) -> QuantizationStrategySection:
        """The quantisation strategy, which is the last."""
        return self.config.quantization

    @property
    def training(self) -> PlannedTraining:
        """How the network will be trained."""
        compressor = self.config.compressor
        pictures = self.data.splits["train"].count
        return int8_training(self.section, pictures, compressor.epoch, self.seed, compressor.eval_epoch)

    def shape(self) -> Mapping[str, Any]:
        """Return what a saved state must agree with, as plain JSON values: everything but the number of epochs."""
        paths = {"float_model_save_path", "int8_model_save_path", "mobile_model_save_path"}
        cuts = {"save_in_nodes", "save_out_nodes"}
        return {
            "settings": self.training.settings.shaping,
            "export": self.section.export,
            "equalize_channels": self.section.equalize_channels,
            "strategies": [self.config.strategies[name].model_dump(exclude=paths | cuts) for name in self._order],
            "pruners": {name: section.model_dump() for name, section in self.config.pruners.items()},
            "distillers": {name: section.model_dump() for name, section in self.config.distillers.items()},
            "searched": None if self.searched is None else dict(self.searched),
            "keep_in_float": self.keep_in_float,
            "data": self.data.content_digest(),
        }

    def check_widths(self) -> None:
        """Raise before training if weight_bits or activation_bits do not fit the network; see `widths.check_widths`."""
        check_widths(self.graph, self.strategy, self.skip)

    def check_saved_nodes(self) -> None:
        """Raise before training the error that export would raise after it.

        Raises:
            UserError: the graph cannot be cut at save_in_nodes or save_out_nodes.
        """
        kernels = quantised_kernels(self.graph, self.strategy.quantizable_op_type, self.skip)
        unit = np.ones(1, np.float32)
        quantised = replace(
            self.graph,
            weight_scales={name: WeightScale(8, unit) for name in kernels.values()},
            activation_scales={
                name: ActivationScale(8, 1.0) for name in quantised_tensors(self.graph, kernels, self.skip)
            },
        )
        cut(quantised, self.strategy.save_in_nodes, self.strategy.save_out_nodes)

    def try_lowering(self) -> None:
        """Raise before training if the int8 model could not be made or run after it; see `trial`.

        Models with settings that no device runs are exported to float/ only; there is nothing to try.

        Raises:
            UserError: names the layer, and says what to do.
        """
        strategy = self.strategy
        if undeployable(strategy):
            return
        settings = replace(QuantSettings.of(strategy), skip_pattern=self.skip)
        manifest = self.data.folder / "manifest.json"
        try_lowering(self.graph, asdict(settings), manifest, strategy.save_in_nodes, strategy.save_out_nodes)

    def run(self, folder: Path, experiment: Path = Path()) -> Compressed:
        """Train, starting from the state in `folder`, and return the result.

        TensorFlow must have been started.

        Args:
            folder: of the state.
            experiment: folder that paths of the YAML are relative to.
        """
        from qatflow.compress.quantizers.clustered import Clusters
        from qatflow.compress.quantizers.quantised_model import Quantisers
        from qatflow.compress.strategies.prune import PruneStrategy
        from qatflow.compress.strategies.quantization import QuantizationStrategy
        from qatflow.compress.strategies.table import StrategySetup
        from qatflow.training.loop import Trainer

        training = self.training
        for line in training.messages:
            print(line, flush=True)
        # strategies that prune look at the original ranges: channels of equal range do not show which of them matter
        clustering = self.config.clustering
        first = self.config.strategies[self._order[0]] in (self.strategy, clustering)
        graph = self._prepared(self.graph) if first else self.graph
        quantisers = Quantisers(
            graph,
            replace(QuantSettings.of(self.strategy), skip_pattern=self.skip),
            clusters=Clusters(clustering) if clustering is not None else None,
        )
        prepared = None if first else self._prepared
        setup = StrategySetup(
            config=self.config,
            graph=graph,
            teacher=self.teacher or graph,
            quantisers=quantisers,
            export=self.section.export,
            prepared=prepared,
            experiment=experiment,
            searched=self.searched,
        )
        strategies = [setup.strategy(name) for name in self._order]
        history = Trainer(graph, self.data, training.settings, folder, strategies, hooks=quantisers).run()
        quantisation = strategies[-1]
        assert isinstance(quantisation, QuantizationStrategy)
        pruning = [record for strategy in strategies if isinstance(strategy, PruneStrategy) for record in strategy.done]
        in_order = sorted(pruning, key=lambda record: record["epoch"])
        return Compressed(quantisation.graph(folder), history, in_order, quantisation.exported)

    @property
    def _order(self) -> list[str]:
        return self.config.compressor.strategies

    def _prepared(self, graph: Graph) -> Graph:
        """Return the float graph as quantisation, or the clustering before it, should start from it."""
        strategy, clustering = self.strategy, self.config.clustering
        if clustering is not None:
            kernels = trained_kernels(graph, clustering.clustered_params, "clustered_params")
            graph = with_positive_gammas(graph, kernels)
        if not self.section.equalize_channels or strategy.weight_quantize_type in BY_CHANNEL:
            return graph
        layers = quantised_kernels(graph, strategy.quantizable_op_type, self.skip)
        graph, changed = equalise(graph, layers)
        print(f"channels of {len(changed)} kernels brought to one range, for one scale per tensor", flush=True)
        return graph
