"""pretrain/<name>_pretrained/: the float graph, its measured top-1, and what made it."""

from pathlib import Path
from typing import Any

import numpy as np

from qatflow import provenance
from qatflow.code_digest import code_digest
from qatflow.config.model import FloatTrainingSection, ModelSection
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.files import sha256, whole_folder, write_json
from qatflow.graph.graph import Graph
from qatflow.graph.store import write
from qatflow.tensorflow_runtime import start
from qatflow.training.history import EpochFigures, write_csv
from qatflow.training.settings import TrainingSettings
from qatflow.work_folder import work_folder


def prepare_by_training(
    model: ModelSection, training: FloatTrainingSection, data: Path, output: Path, work: Path, seed: int, threads: int
) -> None:
    """Train the float model on the data and write its folder.

    Args:
        model: the network.
        training: settings of the training.
        data: manifest.json of the prepared pictures.
        output: the folder to write.
        work: root of the training's state; a killed run goes on from there.
        seed: of everything random.
        threads: threads of TensorFlow.
    """
    manifest = read_manifest(data)
    settings = TrainingSettings(**training.model_dump(), freeze_batch_norm=False, seed=seed)
    shape = {
        "model": model.model_dump(),
        "training": settings.shaping,
        "data": manifest.content_digest(),
        "code": code_digest("qatflow.pretrained.train"),
    }
    with work_folder(work, shape) as folder:
        start(seed, threads)
        from qatflow.models.mobilenet_v1 import mobilenet_v1
        from qatflow.pretrained.train import train

        first = mobilenet_v1(
            _input_shape(manifest), manifest.classes, model.alpha, model.dropout, model.batch_norm_momentum
        )
        graph, history = train(first, manifest, settings, folder)
        made = provenance.record([data], {**model.model_dump(), **training.model_dump()}, seed)
        # under the lock: a trainer left over from a killed run must not write beside its successor
        _write(graph, manifest, output, {"source": "train", "provenance": made}, history)


def prepare_from_file(weights: Path, model: ModelSection, data: Path, output: Path, threads: int) -> None:
    """Read the weights of a Keras .h5 file and write the folder.

    Raises:
        UserError: the weights do not fit the model or the data's classes.
    """
    start(0, threads)
    from qatflow.pretrained.keras_weights import load_h5

    manifest = read_manifest(data)
    graph = load_h5(
        weights, _input_shape(manifest), manifest.classes, model.alpha, model.dropout, model.batch_norm_momentum
    )
    made = provenance.record([data, weights], model.model_dump())
    _write(graph, manifest, output, {"source": str(weights), "provenance": made}, [])


def _input_shape(data: Manifest) -> tuple[int, int, int]:
    spec = data.preprocessing
    return spec.size, spec.size, spec.channels


def _write(graph: Graph, data: Manifest, output: Path, about: dict[str, Any], history: list[EpochFigures]) -> None:
    from qatflow.data.pipeline import evaluation_batches
    from qatflow.training.figures import evaluator
    from qatflow.training.keras_model import training_model

    evaluate = evaluator(training_model(graph, seed=0, step=0).keras)
    _, top1, top5 = evaluate(evaluation_batches(data, "validation", batch_size=256))
    print(f"validation top-1 {top1:.4f}, top-5 {top5:.4f}", flush=True)
    with whole_folder(output) as folder:
        write(graph, folder)
        write_csv(history, folder / "history.csv")
        write_json(
            folder / "manifest.json",
            {
                **about,
                "parameters": int(sum(np.size(values) for values in graph.weights.values())),
                "validation": {"top1": top1, "top5": top5, "pictures": data.splits["validation"].count},
                "sha256": {name: sha256(folder / name) for name in ("model", "weights", "history.csv")},
            },
        )
