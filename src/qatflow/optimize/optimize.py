"""model_optimize_tool: an exported graph in, the folder that goes to the device out.

The folder holds model.tflite, labels.txt, preprocessing.json, and optimization.json, which says what was fused, the
operators before and after, bytes before and after, the quantisation of each tensor, and the versions of the tools.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from qatflow import provenance
from qatflow.data.manifest import read_manifest
from qatflow.files import sha256, whole_folder, write_json
from qatflow.graph.graph import Graph
from qatflow.graph.store import load_files
from qatflow.optimize.verify import verify
from qatflow.tflite.from_graph import Converted, convert
from qatflow.tflite.read import Operator


def optimize(model_file: Path, param_file: Path, data: Path, output: Path) -> Converted:
    """Optimise an exported model.

    Args:
        model_file: `model` of float/ or int8/ (or of pretrain/<name>_pretrained/, for the float baseline).
        param_file: `weights` beside it.
        data: manifest.json of the data, whose labels and preprocessing travel with the model.
        output: folder to write; it appears whole or not at all.

    Raises:
        UserError: the device's run-time lacks a kernel for a node (all are listed), or a layer would run in float.
    """
    graph, manifest = load_files(model_file, param_file), read_manifest(data)
    converted = convert(graph)
    operators = verify(converted.graph, converted.lowered)
    with whole_folder(output) as folder:
        (folder / "model.tflite").write_bytes(converted.lowered.content)
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in manifest.labels), encoding="utf-8")
        write_json(folder / "preprocessing.json", manifest.preprocessing.to_json())
        write_json(
            folder / "optimization.json",
            {
                "fused": converted.done,
                "left_in_float": [
                    node.name
                    for node in converted.graph.nodes
                    if node.kernel is not None and graph.weight_scales and node.kernel not in graph.weight_scales
                ],
                "changed_channels": converted.lowered.changed_channels,
                "operators_before": dict(Counter(type(node.operation).__name__ for node in graph.nodes)),
                "operators_after": dict(Counter(operator.name for operator in operators)),
                "bytes_before": model_file.stat().st_size + param_file.stat().st_size,
                "bytes_after": len(converted.lowered.content),
                "parameter_bytes": _parameter_bytes(converted.graph),
                "tensors": _tensors(operators),
                "sha256": {
                    name: sha256(folder / name) for name in ("model.tflite", "labels.txt", "preprocessing.json")
                },
                "provenance": provenance.record([model_file, param_file, data], {}),
            },
        )
    return converted


def _parameter_bytes(graph: Graph) -> int:
    """Return the bytes of kernels and biases alone, as they are stored for the device (biases take 4 each)."""
    return sum(int(np.asarray(values).nbytes) for values in graph.weights.values())


def _tensors(operators: list[Operator]) -> dict[str, Any]:
    """Return type, shape and scales of each quantised tensor, by its name."""
    every = [tensor for operator in operators for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    return {
        tensor.name: {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "scale": [float(value) for value in tensor.scale],
            "zero_point": sorted({int(value) for value in tensor.zero_point}),
        }
        for tensor in every
        if tensor.scale.size
    }
