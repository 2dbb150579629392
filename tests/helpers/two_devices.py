"""Trainings for int8 on one or two devices, both of them the CPU: a program, since a process that has computed cannot
divide its CPU any more.

    python two_devices.py MANIFEST RUNS.json

RUNS.json holds a list of `Run` as objects. Each leaves what it found in found.json in its folder; what it prints stands
behind a line of its own.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qatflow.config.sections.base import Precision

BATCH, EPOCHS, START = 128, 2, 1


@dataclass(frozen=True)
class Run:
    """A training of the tiny ResNet: one epoch in float, one fake-quantised.

    Attributes:
        folder: for its state and what it found; a run goes on with what is there.
        devices: 1 or 2.
        rate: learning rate.
        frozen: whether batch-norm is kept as it is.
        activations: activation_quantize_type.
        weights: weight_quantize_type; "": channel_wise_abs_max, or abs_max with `sparse`.
        bits: weight_bits.
        precision: of the float epoch.
        sparse: whether half of the weights go, and the others are clustered, before the epoch that is quantised; but
            for those of a layer that is frozen.
        until: step, counted over the epochs, after which it saves its state and ends; 0: the last.
    """

    folder: str
    devices: int
    rate: float = 0.005
    frozen: bool = False
    activations: str = "moving_average_abs_max"
    weights: str = ""
    bits: int = 8
    precision: Precision = "float32"
    sparse: bool = False
    until: int = 0


class Ended(Exception):  # noqa: N818 - no error
    """Raised in a run that was to end early."""


def main(manifest: str, runs: str) -> None:
    from qatflow.training.runtime import start

    start(seed=3, threads=2)
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for fields in json.loads(Path(runs).read_text()):
        print("== a run", flush=True)
        train(Path(manifest), Run(**fields))


def train(manifest: Path, run: Run) -> None:
    from helpers.small_networks import tiny_residual, with_statistics
    from qatflow.compress.quantizers.clustered import Clusters
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.compress.strategies.clustering import ClusteringStrategy
    from qatflow.compress.strategies.quantization import QuantizationStrategy
    from qatflow.compress.strategies.sparsity import SparsityStrategy
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.config.recipe.sparsity import ClusteringStrategySection, SparsityStrategySection
    from qatflow.data.manifest import read_manifest
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.loop import Trainer
    from qatflow.training.replicas import Replicas
    from qatflow.training.settings import TrainingSettings
    from qatflow.training.strategy import Strategy, TrainingRun

    seen: list[dict[str, Any]] = []

    class Watch(Strategy):
        def on_epoch_end(self, trainer: TrainingRun) -> None:
            conv = next(v for name, v in trainer.model.variables.items() if name.endswith("kernel"))
            layers = {layer.compute_dtype for layer in trainer.model.keras.layers if "conv" in layer.name}
            seen.append({"kernels": conv.dtype.name, "layers": sorted(layers)})

        def on_batch_end(self, trainer: TrainingRun) -> None:
            if trainer.epoch * trainer.steps_per_epoch + trainer.step == run.until:
                assert isinstance(trainer, Trainer)
                trainer._save()
                raise Ended

    settings = TrainingSettings(
        epochs=EPOCHS, batch_size=BATCH, learning_rate=run.rate, warmup_epochs=0.0, momentum=0.9, weight_decay=1e-4,
        label_smoothing=0.1, augmentation="shift", freeze_batch_norm=run.frozen, seed=3, precision=run.precision,
    )  # fmt: skip
    graph = with_statistics(tiny_residual)
    if run.sparse:
        graph = replace(graph, frozen=frozenset({"conv2d_1"}))
    section = QuantizationStrategySection.model_validate(
        {"class": "QuantizationStrategy", "start_epoch": START, "end_epoch": EPOCHS - 1}
    )
    weights = run.weights or ("abs_max" if run.sparse else "channel_wise_abs_max")
    clustering = ClusteringStrategySection.model_validate({"class": "ClusteringStrategy"})
    quantisers = Quantisers(
        graph,
        QuantSettings(run.bits, 8, weights, run.activations, calibration_method="mse"),
        clusters=Clusters(clustering) if run.sparse else None,
    )
    strategy = QuantizationStrategy(section, quantisers)
    before: list[Strategy] = []
    if run.sparse:
        sparsity = SparsityStrategySection.model_validate({"class": "SparsityStrategy", "schedule": "polynomial"})
        before = [SparsityStrategy(sparsity, graph), ClusteringStrategy(quantisers, graph)]
    work = Path(run.folder)
    work.mkdir(exist_ok=True)
    replicas = Replicas(["CPU:0", "CPU:1"] if run.devices == 2 else [])
    try:
        history = Trainer(
            graph, read_manifest(manifest), settings, work, [*before, strategy, Watch()], quantisers, replicas
        ).run()
    except Ended:
        return
    trained = strategy.graph(work)
    found = {
        "integers": {name: trained.weights[name].tolist() for name in trained.weight_scales},
        "scales": {name: [scale.scale, scale.zero_point] for name, scale in trained.activation_scales.items()},
        "weight_scales": {name: scale.scale.tolist() for name, scale in trained.weight_scales.items()},
        "losses": [[figures.train_loss, figures.validation_loss] for figures in history],
        "seen": seen,
        "zeros": {name: int((trained.weights[name] == 0).sum()) for name in trained.weight_scales},
        "frozen": {node: trained.real_weight(f"{node}/kernel").tolist() for node in graph.frozen},
        "values": {name: len(set(trained.weights[name].flat)) for name in trained.weight_scales},
    }
    (work / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
