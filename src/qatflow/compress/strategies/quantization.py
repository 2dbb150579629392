"""QuantizationStrategy: fake quantisation from `start_epoch` on; the quantised graph is saved after `end_epoch`."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from qatflow.compress.quantizers.quantised_model import Quantisers
from qatflow.config.recipe.recipe import QuantizationStrategySection
from qatflow.data.answers import measure_of
from qatflow.data.reader import batches, calibration_places, inputs
from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.training.strategy import Strategy, TrainingRun

QUANTISED = "quantised"
INT8 = "int8"
"""The phase in which layers are fake-quantised."""
FAR_ABOVE = 2.0
"""Factor to the float loss: fake quantisation that starts above it seldom recovers in a short training."""
Export = Literal["end_epoch", "best"]


class QuantizationStrategy(Strategy):
    """PaddleSlim's strategy of the name, with activation ranges calibrated before the first quantised step.

    Without calibration a short run would be spent on finding the ranges, and the weights would adapt to wrong ones.
    """

    def __init__(
        self,
        section: QuantizationStrategySection,
        quantisers: Quantisers,
        export: Export = "end_epoch",
        prepared: Callable[[Graph], Graph] | None = None,
    ):
        """Set up the strategy.

        Args:
            section: the YAML's settings.
            quantisers: the hooks with which the trainer's model was built.
            export: which epoch's graph is saved: that of `end_epoch`, or the `best` on validation up to it (of equal
                ones the later).
            prepared: changes the float graph before its ranges are calibrated; None: nothing.
        """
        self._prepared = prepared
        self.section = section
        self.quantisers = quantisers
        self.export = export
        self.best = -1.0
        self.exported: int | None = None
        self.float_loss: float | None = None

    def on_compression_begin(self, trainer: TrainingRun) -> None:
        """Quantise at once where the restored state is past the first quantised step."""
        if (trainer.epoch, trainer.step) > (self.section.start_epoch, 0):
            trainer.enter(INT8)
            self._quantise(trainer)

    def on_epoch_begin(self, trainer: TrainingRun) -> None:
        """Calibrate and begin to quantise at `start_epoch`."""
        if (trainer.epoch, trainer.step) == (self.section.start_epoch, 0):
            before, top1, _ = trainer.evaluate()
            if self._prepared is not None:
                trainer.rebuild(self._prepared(trainer.float_graph()))
            trainer.enter(INT8)
            self._calibrate(trainer)
            self._hold(trainer)
            self._quantise(trainer)
            self.float_loss = before
            after, quantised_top1, _ = trainer.evaluate()
            print(
                f"epoch {trainer.epoch}: validation {measure_of(trainer.data).name} {top1:.4f} in float, "
                f"{quantised_top1:.4f} fake-quantised "
                f"before training, loss {before:.4f} and {after:.4f}",
                flush=True,
            )
            if after > FAR_ABOVE * before:
                print(
                    f"warning: fake quantisation alone raises the loss {after / before:.1f} times; one scale per "
                    "tensor may not fit this model (weight_quantize_type: channel_wise_abs_max), or batch-norm is "
                    "folded in",
                    flush=True,
                )

    def on_epoch_end(self, trainer: TrainingRun) -> None:
        """Save the quantised graph of `end_epoch`, or of the best epoch up to it; training goes on."""
        section = self.section
        self._warn_of_ruin(trainer)
        if trainer.epoch >= section.start_epoch and self._hold(trainer):
            trainer.retrace()
        if not section.start_epoch <= trainer.epoch <= section.end_epoch:
            return
        if self.export == "end_epoch":
            if trainer.epoch < section.end_epoch:
                return
        else:
            top1 = trainer.history[-1].validation_top1
            if top1 is None or top1 < self.best:
                return
            self.best = top1
        graph, silent = self.quantisers.quantised_graph(trainer.model)
        for name, channels in silent.items():
            print(f"{name}: {len(channels)} channels are only their bias: their kernels are set to zero", flush=True)
        save(graph, trainer.folder / QUANTISED)
        self.exported = trainer.epoch
        print(f"epoch {trainer.epoch}: the quantised graph is saved for export", flush=True)

    def diagnose(self, trainer: TrainingRun) -> str:
        """Name the first tensor or kernel whose range is not finite."""
        for name, low, high in self.quantisers.ranges(trainer.model):
            if not (math.isfinite(low) and math.isfinite(high)):
                return f"the first range that blew up is that of {name} ({low:g} to {high:g})"
        return ""

    def notes(self) -> Mapping[str, Any]:
        """Remember how good the best epoch was, which is saved, and the float model."""
        return {
            "best": self.best,
            "exported": self.exported,
            "float_loss": self.float_loss,
            "least": dict(self.quantisers.least),
        }

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
        self.best, self.exported, self.float_loss = notes["best"], notes["exported"], notes["float_loss"]
        self.quantisers.least.update(notes["least"])

    def graph(self, folder: Path) -> Graph:
        """Return the quantised graph saved in a work folder."""
        return load(folder / QUANTISED)

    def _warn_of_ruin(self, trainer: TrainingRun) -> None:
        loss = trainer.history[-1].validation_loss
        if loss is not None and self.float_loss is not None and loss > FAR_ABOVE * self.float_loss:
            print(
                f"warning: epoch {trainer.epoch} ends with {loss / self.float_loss:.1f} times the validation loss of "
                "the float model: lower compress.learning_rate, or keep batch-norm as it is "
                "(compress.freeze_batch_norm)",
                flush=True,
            )

    def _calibrate(self, trainer: TrainingRun) -> None:
        listed = calibration_places(trainer.data)
        size, spec = trainer.settings.batch_size, trainer.data.preprocessing
        self.quantisers.calibrate(trainer.model, lambda: (inputs(batch, spec)[0] for batch in batches(listed, size)))
        print(f"epoch {trainer.epoch}: activation ranges calibrated on {len(listed)} pictures", flush=True)

    def _hold(self, trainer: TrainingRun) -> bool:
        """Raise the scales that no int8 kernel can write, with a warning; return whether there are any."""
        raised = self.quantisers.hold(trainer.model)
        for name, (before, after) in raised.items():
            print(
                f"warning: {name} is (nearly) zero for all pictures: its scale is raised from {before:.3g} to "
                f"{after:.3g}, the smallest that int8 kernels can write; the layer adds nothing to the network",
                flush=True,
            )
        return bool(raised)

    def _quantise(self, trainer: TrainingRun) -> None:
        self.quantisers.phase.mode = "quantise"
        trainer.retrace()
