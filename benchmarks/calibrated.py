"""A float graph with quantisers whose activation ranges are calibrated, not trained. TensorFlow must be running."""

from collections.abc import Iterable

import numpy as np

from qatflow.compress.quantizers.quantised_model import Quantisers
from qatflow.graph.graph import Graph
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.training.keras_model import TrainingModel, training_model


def calibrated(
    graph: Graph, settings: QuantSettings, batches: Iterable[np.ndarray]
) -> tuple[Quantisers, TrainingModel]:
    """Return calibrated quantisers in quantising mode, and their model with frozen batch-norm.

    Args:
        graph: float.
        settings: bits and types.
        batches: each float32 [n, height, width, channels]; their activations set the ranges.
    """
    quantisers = Quantisers(graph, settings)
    model = training_model(graph, seed=0, step=0, freeze_batch_norm=True, hooks=quantisers)
    listed = list(batches)
    quantisers.calibrate(model, lambda: listed)
    quantisers.phase.mode = "quantise"
    return quantisers, model


def tflite(quantisers: Quantisers, model: TrainingModel) -> bytes:
    """Return the .tflite of the quantisers and the model in their current state."""
    graph, _ = quantisers.quantised_graph(model)
    return convert(graph).content
