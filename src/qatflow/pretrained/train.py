"""Float weights trained here, on the experiment's own data."""

from dataclasses import dataclass
from pathlib import Path

from qatflow.data.manifest import Manifest
from qatflow.graph.graph import Graph
from qatflow.training.history import EpochFigures
from qatflow.training.keep_best import START, KeepBest
from qatflow.training.loop import Trainer
from qatflow.training.settings import TrainingSettings


@dataclass(frozen=True)
class Trained:
    """What a float training has come to.

    Attributes:
        graph: as it was after the epoch that did best on validation.
        history: figures of each epoch.
        said: what the user is to know of it: that no epoch did better than the weights as they came.
    """

    graph: Graph
    history: list[EpochFigures]
    said: tuple[str, ...]


def train(
    start: Graph, data: Manifest, settings: TrainingSettings, folder: Path, *, trained: bool, complete: bool
) -> Trained:
    """Train a graph in float.

    Args:
        start: the graph with its first weights.
        data: prepared pictures.
        settings: of the training.
        folder: work folder; training goes on from what is there.
        trained: whether the first weights are trained already.
        complete: whether they are all so, with no new last layer: then they are kept where no epoch does better.
    """
    best = KeepBest(trained=trained, complete=complete)
    history = Trainer(start, data, settings, folder, strategies=[best]).run()
    which = "the weights as they came" if best.epoch == START else f"epoch {best.epoch}"
    print(f"best on validation: {which}, top-1 {best.top1:.4f}", flush=True)
    said = ("no epoch of fine-tuning did better on validation than the weights as they came, which are kept",)
    return Trained(best.graph(folder), history, said if best.epoch == START else ())
