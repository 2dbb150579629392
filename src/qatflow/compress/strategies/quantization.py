"""QuantizationStrategy: fake quantisation from `start_epoch` on, the quantised graph kept at the end of `end_epoch`."""

from pathlib import Path

from qatflow.compress.quantize_model import Quantisers
from qatflow.config.compress_model import QuantizationStrategySection
from qatflow.data.reader import calibration
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.training.loop import Trainer
from qatflow.training.strategy import Strategy

QUANTISED = "quantised"


class QuantizationStrategy(Strategy):
    """PaddleSlim's strategy of the name, with activation ranges calibrated before the first quantised step.

    Without calibration a short run would be spent on finding the ranges, and the weights would follow wrong ones.
    """

    def __init__(self, section: QuantizationStrategySection, quantisers: Quantisers):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            quantisers: the hooks with which the trainer's model was built.
        """
        self.section = section
        self.quantisers = quantisers

    def on_compression_begin(self, trainer: Trainer) -> None:
        """Quantise at once where the restored state is past the first quantised step."""
        if (trainer.epoch, trainer.step) > (self.section.start_epoch, 0):
            self._quantise(trainer)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Calibrate and begin to quantise at `start_epoch`."""
        if (trainer.epoch, trainer.step) == (self.section.start_epoch, 0):
            self._calibrate(trainer)
            self._quantise(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Keep the quantised graph at `end_epoch`; training goes on."""
        if trainer.epoch == self.section.end_epoch:
            save(self.quantisers.quantised_graph(trainer.model), trainer.folder / QUANTISED)
            print(f"epoch {trainer.epoch}: the quantised graph is kept for export", flush=True)

    def graph(self, folder: Path) -> Graph:
        """Return the quantised graph kept in a work folder."""
        return load(folder / QUANTISED)

    def _calibrate(self, trainer: Trainer) -> None:
        pictures = calibration(trainer.data)
        size = trainer.settings.batch_size
        self.quantisers.phase.mode = "calibrate"
        for first in range(0, len(pictures), size):
            trainer.model.keras(pictures[first : first + size], training=False)
        print(f"epoch {trainer.epoch}: activation ranges calibrated on {len(pictures)} pictures", flush=True)

    def _quantise(self, trainer: Trainer) -> None:
        self.quantisers.phase.mode = "quantise"
        trainer.phase = "int8"
        trainer.retrace()
