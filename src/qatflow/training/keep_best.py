"""The graph of the epoch that did best on the validation pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qatflow.graph.graph import Graph
from qatflow.graph.store import load, save
from qatflow.training.loop import Trainer
from qatflow.training.strategy import Strategy


class KeepBest(Strategy):
    """Stores the float graph whenever validation top-1 rises; of equal epochs the later one, which trained longer."""

    def __init__(self) -> None:
        self.epoch = -1
        self.top1 = -1.0

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Store the graph if this epoch is the best so far."""
        top1 = trainer.history[-1].validation_top1
        if top1 is not None and top1 >= self.top1:
            self.epoch, self.top1 = trainer.epoch, top1
            save(trainer.float_graph(), _folder(trainer.folder))

    def notes(self) -> Mapping[str, Any]:
        """Remember which epoch it was."""
        return {"epoch": self.epoch, "top1": self.top1}

    def recall(self, notes: Mapping[str, Any]) -> None:
        """Take back what `notes` returned."""
        self.epoch, self.top1 = notes["epoch"], notes["top1"]

    def graph(self, folder: Path) -> Graph:
        """Return the best graph of the run in `folder`."""
        return load(_folder(folder))


def _folder(work: Path) -> Path:
    return work / "best"
