"""Program that makes the int8 model of a graph before any training, and runs it on a picture.

What fails here would otherwise fail after hours of training. Quantisers are placed as training would place them, scales
come from a few pictures, the kernels become integers, the passes run, and the .tflite file is written, checked against
the device's rules, loaded and run. The task comes as JSON on standard input; a problem is printed as one line.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.data.manifest import read_manifest
from qatflow.data.reader import calibration
from qatflow.graph.cut import cut
from qatflow.graph.graph import Graph
from qatflow.graph.store import load
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.check import check_model
from qatflow.tflite.lower import convert
from qatflow.tflite.verify import verify
from qatflow.trial.float_ranges import float_ranges

PICTURES = 8
"""Calibration pictures from which the scales are computed."""


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
        settings: how to quantise it; with widths and types that kernels support.
        pictures: float32 [n, height, width, channels], from the data.
        inputs: the YAML's save_in_nodes, where the exported part begins; None: the graph's inputs.
        outputs: its save_out_nodes, where that part ends; None: the graph's outputs.

    Raises:
        UserError: no int8 model can be made, or it cannot run; names the layer, and says what to do.
    """
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    quantised = as_if_quantised(graph, settings, float_ranges(graph, tensors, pictures))
    converted = convert(cut(quantised, inputs, outputs))
    verify(converted.graph, converted.content)
    check_model(converted.content, converted.graph, pictures[0])
    return converted.content


def main() -> int:
    """Return 0 if the int8 model runs, else 1, with the problem on standard output."""
    task = json.load(sys.stdin)
    try:
        settings = replace(QuantSettings.default(), **task["settings"])
        pictures = calibration(read_manifest(Path(task["data"])), PICTURES)
        lower_on_trial(load(Path(task["graph"])), settings, pictures, task["inputs"], task["outputs"])
    except UserError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
