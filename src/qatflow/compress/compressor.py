"""The Compressor: a float graph, data and a compress YAML in; the graph with trained integers and scales out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.config.compress_model import CompressConfig, QuantizationStrategySection
from qatflow.config.model import CompressSection
from qatflow.data.manifest import Manifest
from qatflow.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.training.history import EpochFigures
from qatflow.training.settings import TrainingSettings


@dataclass(frozen=True)
class Compressor:
    """One compression run, set up and not yet begun.

    Attributes:
        graph: float graph with the pretrained weights.
        data: prepared pictures.
        section: the configuration's compress section.
        config: the compress YAML.
        seed: of order, augmentation and dropout.
    """

    graph: Graph
    data: Manifest
    section: CompressSection
    config: CompressConfig
    seed: int

    @property
    def strategy(self) -> QuantizationStrategySection:
        """The quantisation strategy.

        Raises:
            UserError: the YAML does not name exactly one.
        """
        named = self.config.compressor.strategies
        if len(named) != 1:
            raise UserError(f"compressor.strategies: exactly one QuantizationStrategy is run, the YAML names {named}")
        return self.config.strategies[named[0]]

    @property
    def settings(self) -> TrainingSettings:
        """The settings of the training loop."""
        kept = self.section.model_dump(exclude={"config", "export"})
        return TrainingSettings(
            **kept,
            epochs=self.config.compressor.epoch,
            warmup_epochs=0.0,
            label_smoothing=0.0,
            seed=self.seed,
            evaluate_every=self.config.compressor.eval_epoch,
        )

    def shape(self) -> Mapping[str, Any]:
        """Return what a kept state must agree with, as plain JSON values: all but the number of epochs."""
        paths = {"float_model_save_path", "int8_model_save_path", "mobile_model_save_path"}
        cuts = {"save_in_nodes", "save_out_nodes"}
        return {
            "settings": self.settings.shaping,
            "export": self.section.export,
            "strategy": self.strategy.model_dump(exclude=paths | cuts),
            "data": self.data.content_digest(),
        }

    def run(self, folder: Path) -> tuple[Graph, list[EpochFigures]]:
        """Train, going on from the state in `folder`; return the quantised graph of `end_epoch` and the history.

        TensorFlow must have been started.
        """
        from qatflow.compress.quantize_model import Quantisers, QuantSettings
        from qatflow.compress.strategies.quantization import QuantizationStrategy
        from qatflow.training.loop import Trainer

        strategy = self.strategy
        quantisers = Quantisers(
            self.graph,
            QuantSettings(
                strategy.weight_bits,
                strategy.activation_bits,
                strategy.weight_quantize_type,
                strategy.activation_quantize_type,
                tuple(strategy.quantizable_op_type),
                tuple(strategy.skip_pattern),
            ),
        )
        quantisation = QuantizationStrategy(strategy, quantisers, self.section.export)
        trainer = Trainer(self.graph, self.data, self.settings, folder, strategies=[quantisation], hooks=quantisers)
        history = trainer.run()
        return quantisation.graph(folder), history
