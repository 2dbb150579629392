"""The int8 model that a float graph would become, for what its operators say: they are those of the device's model."""

from dataclasses import replace

from qatflow.compress.as_if_quantised import as_if_quantised
from qatflow.compress.settings import QuantSettings
from qatflow.graph.graph import Graph
from qatflow.search.spaces.space import Setup
from qatflow.tflite.from_graph import convert


def int8_model(graph: Graph, setup: Setup) -> bytes:
    """Return the bytes of the .tflite model; its integers and scales mean nothing.

    Raises:
        UserError: an operation or a width is not one that the run-time has.
    """
    settings = QuantSettings.of(setup.config.quantization)
    skip = (*settings.skip_pattern, *setup.keep_in_float)
    return convert(as_if_quantised(graph, replace(settings, skip_pattern=skip))).content
