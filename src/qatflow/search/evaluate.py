"""Trains a candidate for a while and evaluates it on the validation pictures, in a job of its own."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow.base import provenance
from qatflow.base.code_digest import code_digest
from qatflow.base.files import whole_folder
from qatflow.base.sums import write_sealed
from qatflow.base.work_folder import work_folder
from qatflow.config.recipe.recipe import undeployable
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.hardware import HardwareSection
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.graph.graph import Graph
from qatflow.graph.store import graph_digest, write
from qatflow.quantisation.placement import QuantSettings
from qatflow.search.candidate import Outcome
from qatflow.search.rounds import read_round
from qatflow.search.space import SearchSetup
from qatflow.search.table import space_of
from qatflow.training.from_config import int8_training
from qatflow.training.runtime import start
from qatflow.training.settings import TrainingSettings
from qatflow.trial.start import try_lowering


@dataclass(frozen=True)
class Evaluation:
    """How candidates are evaluated.

    Attributes:
        data: manifest.json of the prepared pictures.
        section: the configuration's compress section, which has the settings of training.
        threads: threads of TensorFlow.
        hardware: what TensorFlow computes on; None: the CPU.
    """

    data: Path
    section: CompressSection
    threads: int
    hardware: HardwareSection | None = None


def evaluate(setup: SearchSetup, candidates: Path, number: int, how: Evaluation, work: Path, output: Path) -> None:
    """Train a candidate; write its outcome and its network.

    Args:
        setup: what is searched over.
        candidates: candidates.json of its round.
        number: of the candidate.
        how: it is evaluated.
        work: root of the training's state; a killed run goes on from there.
        output: folder to write: outcome.json, and the network as `model` and `weights`.

    Raises:
        UserError: no int8 model of a new network could run, the training fails, or there are fewer GPUs than the
            configuration asks for.
    """
    section = setup.config.search
    assert section is not None
    candidate, data = read_round(candidates).candidate(number), read_manifest(how.data)
    space = space_of(setup)
    graph = space.graph(candidate.tokens)
    if setup.config.light_nas is not None and not undeployable(setup.config.quantization):
        quantised = QuantSettings.of(setup.config.quantization)
        skip = (*quantised.skip_pattern, *setup.keep_in_float)
        try_lowering(graph, {**asdict(quantised), "skip_pattern": skip}, how.data)
    pictures = data.splits["train"].count
    settings = int8_training(how.section, pictures, section.retrain_epoch, setup.seed, evaluate_every=0).settings
    shape = {
        "tokens": candidate.tokens,
        "model": graph_digest(graph),
        "settings": settings.shaping,
        "epochs": settings.epochs,
        "data": data.content_digest(),
        "code": code_digest("qatflow.training.loop"),
    }
    with work_folder(work, shape, "training this candidate") as folder:
        start(setup.seed, how.threads, how.hardware)
        trained, top = _trained(graph, data, settings, folder)
        metric = top[section.metric_name]
        refused = space.refused(candidate.tokens)
        outcome = Outcome(candidate, metric, 0.0 if refused else metric)
        print(f"candidate {number}: {section.metric_name} {metric:.4f}{f'; {refused}' if refused else ''}", flush=True)
        recorded = {"retrain_epoch": section.retrain_epoch, "metric_name": section.metric_name, **settings.shaping}
        record = provenance.record_of_floats([how.data, candidates, *setup.inputs], recorded, setup.seed)
        # under the lock: a trainer left over from a killed run must not write at the same time as its successor
        with whole_folder(output) as temporary:
            write(trained, temporary)
            content = {**outcome.to_json(), "provenance": record}
            write_sealed(temporary / "outcome.json", content, files=("model", "weights"))
        shutil.rmtree(folder)  # the state of a candidate is as large as several networks


def _trained(graph: Graph, data: Manifest, settings: TrainingSettings, folder: Path) -> tuple[Graph, dict[str, float]]:
    """Return the trained graph, and its accuracies by PaddleSlim's names, shares of 1."""
    from qatflow.training.loop import Trainer

    trainer = Trainer(graph, data, settings, folder)
    trainer.run()
    _, top1, top5 = trainer.evaluate()
    return trainer.float_graph(), {"acc_top1": top1, "acc_top5": top5}
