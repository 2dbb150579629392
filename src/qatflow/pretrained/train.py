"""Float weights trained here, on the experiment's own data."""

from pathlib import Path

from qatflow.data.manifest import Manifest
from qatflow.graph.graph import Graph
from qatflow.training.history import EpochFigures
from qatflow.training.keep_best import KeepBest
from qatflow.training.loop import Trainer
from qatflow.training.settings import TrainingSettings


def train(start: Graph, data: Manifest, settings: TrainingSettings, folder: Path) -> tuple[Graph, list[EpochFigures]]:
    """Train a graph in float; return it as it was after the epoch that did best on validation, and the history.

    Args:
        start: the graph with its first weights.
        data: prepared pictures.
        settings: of the training.
        folder: work folder; training goes on from what is there.
    """
    best = KeepBest()
    history = Trainer(start, data, settings, folder, strategies=[best]).run()
    print(f"best on validation: epoch {best.epoch}, top-1 {best.top1:.4f}", flush=True)
    return best.graph(folder), history
