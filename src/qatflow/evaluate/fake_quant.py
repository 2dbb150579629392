"""Top-1 and top-5 of the fake-quantised graph on the test pictures, in TensorFlow."""

from pathlib import Path
from typing import Any

from qatflow.base.files import sha256
from qatflow.base.sums import write_sealed
from qatflow.config.sections.hardware import HardwareSection
from qatflow.data.answers import measure_of
from qatflow.data.manifest import read_manifest
from qatflow.graph.store import load
from qatflow.training.runtime import import_quantisation, start


def evaluate_fake_quant(
    exported: Path, data: Path, output: Path, threads: int, hardware: HardwareSection | None = None
) -> dict[str, Any]:
    """Evaluate output/float/ as training saw it, and write the figures as JSON.

    Args:
        exported: the folder float/ or int8/.
        data: manifest.json of the data.
        output: file to write.
        threads: threads of TensorFlow.
        hardware: what it computes on; None: the CPU.

    Returns:
        The figures (`Measure.figures`).

    Raises:
        UserError: there are fewer GPUs than the configuration asks for.
    """
    start(0, threads, hardware)
    import_quantisation()
    from qatflow.data.pipeline import NONE, evaluation_batches
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.training.loss import evaluator
    from qatflow.training.replicas import Replicas

    manifest, replicas = read_manifest(data), Replicas()
    with replicas.scope():
        model = fake_quant_model(load(exported))
    evaluate = evaluator(model, replicas)
    _, top1, top5 = evaluate(evaluation_batches(manifest, "test", in_memory=NONE))
    result = measure_of(manifest).figures(manifest.splits["test"].count, top1, top5)
    write_sealed(output, {**result, "model_sha256": sha256(exported / "weights")})
    return result
