"""The way of a graph to the device, tried before it is trained: what fails there would else fail after hours.

Quantisers are placed as training would place them, scales found on a few pictures, the graph with integers made, the
passes run, the .tflite written, held to the device's rules, loaded and run.
"""

from collections.abc import Iterable

import numpy as np

from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph
from qatflow.quantise.as_if_quantised import as_if_quantised
from qatflow.quantise.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.check import check_model
from qatflow.tflite.lower import convert
from qatflow.tflite.verify import verify
from qatflow.trial.float_ranges import float_ranges


def lower_on_trial(
    graph: Graph,
    settings: QuantSettings,
    pictures: np.ndarray,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
) -> bytes:
    """Return the int8 .tflite that the graph would become before any training; it has been run on a picture.

    Args:
        graph: in float.
        settings: how it is to be quantised; at 8 bits, by types that kernels have.
        pictures: float32 [n, height, width, channels], of the data.
        inputs: the YAML's save_in_nodes, where what is exported begins; None: as the graph.
        outputs: its save_out_nodes, where that ends.

    Raises:
        UserError: no int8 model can be made of it, or it cannot run; names the layer, and says what to do.
    """
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    quantised = as_if_quantised(graph, settings, float_ranges(graph, tensors, pictures))
    converted = convert(cut(quantised, inputs, outputs))
    verify(converted.graph, converted.content)
    check_model(converted.content, converted.graph, pictures[0])
    return converted.content
