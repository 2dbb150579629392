"""The models that the accuracy benchmark compares, each made from the same trained float graph.

Trainings after the float one have the same data, order, batches, learning rate, schedule and number of epochs.
TensorFlow must be running.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from experiments import Experiment
from qatflow.compress.compressor import Compressor
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.data.manifest import Manifest
from qatflow.data.reader import calibration
from qatflow.graph.graph import Graph
from qatflow.ptq.quantise import quantise
from qatflow.tflite.lower import convert
from qatflow.training.settings import TrainingSettings

FLOAT, FLOAT_LONGER, TFMOT = "float", "float, extra epochs", "stock tfmot QAT"


@dataclass(frozen=True)
class Case:
    """The inputs of a variant.

    Attributes:
        experiment: configuration and budget.
        graph: the trained float graph.
        data: prepared pictures.
        seed: of order, augmentation and dropout.
        scratch: empty folder for the state of a training.
    """

    experiment: Experiment
    graph: Graph
    data: Manifest
    seed: int
    scratch: Path

    def compressor(self, compress: CompressConfig) -> Compressor:
        """Return the library's compressor with a compress YAML."""
        return Compressor(self.graph, self.data, self.experiment.config.compress, compress, self.seed)

    @property
    def settings(self) -> TrainingSettings:
        """The settings shared by all trainings after the float one."""
        return self.compressor(self.experiment.compress).training.settings


def _float(case: Case) -> bytes:
    return convert(case.graph).content


def _float_longer(case: Case) -> bytes:
    from qatflow.training.loop import Trainer

    trainer = Trainer(case.graph, case.data, case.settings, case.scratch)
    trainer.run()
    return convert(trainer.float_graph()).content


def _ptq_converter(case: Case) -> bytes:
    from tflite_converter import quantised_after_training

    return quantised_after_training(case.graph, calibration(case.data))


def _ptq_edge(case: Case) -> bytes:
    return quantise(_float(case), calibration(case.data))


def _stock_tfmot(case: Case) -> bytes:
    from stock_tfmot import quantised_mobilenet, train, without_softmax
    from tflite_converter import converted

    section = case.experiment.config.model
    # an int8 softmax would round small differences away: comparing logits is fairer to tfmot
    keras = without_softmax(quantised_mobilenet(case.graph, section, case.settings.freeze_batch_norm))
    train(keras, case.data, case.settings)
    return converted(keras)


def _ours(case: Case, weights: str, activations: str) -> bytes:
    graph = case.compressor(case.experiment.quantised_as(weights, activations)).run(case.scratch).graph
    return convert(graph).content


OURS: dict[str, Callable[[Case], bytes]] = {
    f"ours, {weights}, {activations}": partial(_ours, weights=weights, activations=activations)
    for weights in ("abs_max", "channel_wise_abs_max")
    for activations in ("moving_average_abs_max", "range_abs_max")
}
# Name of a row of the table → function that returns the .tflite file
VARIANTS: dict[str, Callable[[Case], bytes]] = {
    FLOAT: _float,
    FLOAT_LONGER: _float_longer,
    "PTQ, TFLiteConverter": _ptq_converter,
    "PTQ, ai-edge-quantizer": _ptq_edge,
    TFMOT: _stock_tfmot,
    **OURS,
}
