"""model_optimize_tool: makes an exported graph into the folder that goes to the device.

optimization.json in it says what was fused, the operators and bytes before and after, how each tensor is quantised, the
widths of the kernels, and the versions of the tools.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from qatflow.base import provenance
from qatflow.data.manifest import read_manifest
from qatflow.graph.graph import Graph
from qatflow.graph.store import load_files
from qatflow.optimize.folder import operator_counts, quantised_tensors, write_folder
from qatflow.tflite.check import check_model
from qatflow.tflite.lower import Converted, convert
from qatflow.tflite.rounding import rounding_differently, warning
from qatflow.tflite.verify import verify


def optimize(model_file: Path, param_file: Path, data: Path | None, output: Path) -> Converted:
    """Optimise an exported model.

    Args:
        model_file: `model` of float/ or int8/ (or of pretrain/<name>_pretrained/, for the float baseline).
        param_file: `weights` beside it.
        data: manifest.json of the data, whose labels and preprocessing go with the model; None: without them.
        output: folder to write; it appears complete or not at all.

    Raises:
        UserError: the device's run-time lacks a kernel for a node (all are listed), a layer would run in float, or the
            new model cannot be loaded and run.
    """
    graph = load_files(model_file, param_file)
    manifest = read_manifest(data) if data is not None else None
    converted = convert(graph)
    operators = verify(converted.graph, converted.content)
    check_model(converted.content, converted.graph)
    different = rounding_differently(operators)
    if different:
        print(warning(different))
    inputs = [model_file, param_file, *([data] if data is not None else [])]
    about = {
        "fused": converted.done,
        "left_in_float": [
            node.name
            for node in converted.graph.nodes
            if node.kernel is not None and graph.weight_scales and node.kernel not in graph.weight_scales
        ],
        "operators_before": dict(Counter(type(node.operation).__name__ for node in graph.nodes)),
        "operators_after": operator_counts(operators),
        "bytes_before": model_file.stat().st_size + param_file.stat().st_size,
        "bytes_after": len(converted.content),
        "parameter_bytes": _parameter_bytes(converted.graph),
        "weight_bits": sorted({scale.bits for name, scale in graph.weight_scales.items() if name in _kernels(graph)}),
        "tensors": quantised_tensors(operators),
        "rounding_differently": different,
        "provenance": provenance.record(inputs, {}),
    }
    write_folder(output, converted.content, manifest, about)
    return converted


def _parameter_bytes(graph: Graph) -> int:
    """Return the bytes of kernels and biases only, as stored for the device (4 bytes per bias)."""
    return sum(int(np.asarray(values).nbytes) for values in graph.weights.values())


def _kernels(graph: Graph) -> set[str | None]:
    return {node.kernel for node in graph.nodes}
