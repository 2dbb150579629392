"""pretrain/<name>_pretrained/: the float graph, its measured top-1, and how it was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base import provenance
from qatflow.base.code_digest import code_digest
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_folder
from qatflow.base.sums import write_sealed
from qatflow.base.work_folder import work_folder
from qatflow.config.sections.hardware import HardwareSection
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection, PretrainedSection
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.graph.graph import Graph
from qatflow.graph.operations import BatchNorm
from qatflow.graph.store import write
from qatflow.models.onnx.file import external_files, is_onnx
from qatflow.models.own_function import source_files
from qatflow.training.from_config import float_training
from qatflow.training.history import EpochFigures, write_csv
from qatflow.training.runtime import start
from qatflow.trial.start import try_lowering


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights come from, and whether they are trained.

    Attributes:
        weights: file or SavedModel folder to read them from; None: they are the model's own, or random.
        own: whether the weights in model.file are used, where `weights` is None.
        train: whether to train them on the data; otherwise they are used as they are.
        expected_top1: top-1 that they must reach on the validation pictures before any training, in percent; None: any.
        tolerance: how far below it they may be, in percentage points.
    """

    weights: Path | None
    own: bool
    train: bool
    expected_top1: float | None = None
    tolerance: float = 0.0

    @staticmethod
    def of(section: PretrainedSection, weights: Path | None) -> "WeightsSource":
        """Return the source that the configuration's section names.

        Args:
            section: pretrained.
            weights: the file or SavedModel folder, if the section's source is one.

        Raises:
            UserError: a file is needed and none was given, or the other way round.
        """
        from_file = section.source not in ("train", "model")
        if from_file != (weights is not None):
            raise UserError(
                f"pretrained.source is {section.source}, and {'no file' if weights is None else weights} was given:"
                f" {'name the file (--weights)' if from_file else 'leave it out, or set the source to file'}"
            )
        return WeightsSource(
            weights=weights,
            own=section.source == "model",
            train=section.source == "train" or section.fine_tune,
            expected_top1=section.expected_top1,
            tolerance=section.top1_tolerance,
        )


def prepare(
    source: WeightsSource,
    model: ModelSection,
    training: FloatTrainingSection,
    data: Path,
    output: Path,
    work: Path,
    seed: int,
    threads: int,
    hardware: HardwareSection | None = None,
) -> None:
    """Make the float model and write its folder.

    Args:
        source: of the weights.
        model: the network.
        training: settings of the training, if there is one.
        data: manifest.json of the prepared pictures.
        output: the folder to write.
        work: root of the training's state; a killed run goes on from there.
        seed: of everything random.
        threads: threads of TensorFlow.
        hardware: what it computes on; None: the CPU.

    Raises:
        UserError: there are fewer GPUs than the configuration asks for, or a step does not fit into memory; the model
            cannot be made, does not fit its weights or the data, or is far below its published top-1; or it is to be
            trained, and no int8 model of it could run.
    """
    manifest = read_manifest(data)
    start(seed, threads, hardware)
    from qatflow.pretrained.float_graph import float_graph

    loaded = source.weights is not None or source.own
    initial = float_graph(model, source.weights, source.own, manifest, source.train, seed, training.batch_size)
    for line in initial.messages:
        print(line, flush=True)
    about: dict[str, Any] = {
        "source": str(source.weights or (model.file if source.own else None) or "train"),
        "network": model.network or model.function or model.file,
        "said": list(initial.messages),
        "new_head": initial.new_head,
    }
    settings = {**model.model_dump(exclude={"keep_in_float"}), **(training.model_dump() if source.train else {})}
    inputs = [data, *_files(source, model)]
    if loaded and initial.new_head is None and source.expected_top1 is not None:
        from qatflow.pretrained.expected import check_expected

        about["before_training"] = check_expected(initial.graph, manifest, source.expected_top1, source.tolerance)
    if not source.train:
        _write(initial.graph, manifest, output, {**about, "provenance": provenance.record(inputs, settings)}, [])
        return
    from qatflow.pretrained.train import train

    try_lowering(initial.graph, {"skip_pattern": list(model.kept_by_name)}, data)

    batch_norm = any(isinstance(node.operation, BatchNorm) for node in initial.graph.nodes)
    planned = float_training(
        training, manifest.splits["train"].count, seed, loaded=loaded, new_head=initial.new_head, batch_norm=batch_norm
    )
    for line in planned.messages:
        print(line, flush=True)
    shape = {
        "model": model.model_dump(exclude={"keep_in_float"}),
        "files": [sha256(path) for path in _files(source, model)],
        "training": planned.settings.shaping,
        "data": manifest.content_digest(),
        "code": code_digest("qatflow.pretrained.train"),
    }
    with work_folder(work, shape) as folder:
        complete = initial.new_head is None
        trained = train(initial.graph, manifest, planned.settings, folder, trained=loaded, complete=complete)
        about["said"] += trained.messages
        about["exported_epoch"] = trained.epoch
        record = provenance.record_of_floats(inputs, settings, seed)
        # under the lock: a trainer left over from a killed run must not write at the same time as its successor
        _write(trained.graph, manifest, output, {**about, "provenance": record}, trained.history)


def _files(source: WeightsSource, model: ModelSection) -> list[Path]:
    """Return the files that the float model depends on, besides the data."""
    roots = [path for path in (source.weights, Path(model.file) if model.file else None) if path is not None]
    files = [file for root in roots for file in (sorted(root.rglob("*")) if root.is_dir() else [root])]
    files += [file for root in roots if is_onnx(root) for file in external_files(root)]
    code = source_files(model.function) if model.function is not None else []
    return [*dict.fromkeys(file for file in files if file.is_file()), *code]


def _write(graph: Graph, data: Manifest, output: Path, about: dict[str, Any], history: list[EpochFigures]) -> None:
    measured = None if data.labels_from == "nothing" else _validated(graph, data)
    with whole_folder(output) as folder:
        write(graph, folder)
        write_csv(history, folder / "history.csv")
        write_sealed(
            folder / "manifest.json",
            {
                **about,
                "parameters": int(sum(np.size(values) for values in graph.weights.values())),
                "validation": measured,
            },
            files=("model", "weights", "history.csv"),
        )


def _validated(graph: Graph, data: Manifest) -> dict[str, float]:
    """Return top-1 and top-5 on the validation pictures, as shares of 1, and their number."""
    from qatflow.data.pipeline import NONE, evaluation_batches
    from qatflow.training.keras_model import training_model
    from qatflow.training.loss import evaluator

    evaluate = evaluator(training_model(graph, seed=0, step=0))
    _, top1, top5 = evaluate(evaluation_batches(data, "validation", in_memory=NONE))
    print(f"validation top-1 {top1:.4f}, top-5 {top5:.4f}", flush=True)
    return {"top1": top1, "top5": top5, "pictures": data.splits["validation"].count}
