"""model_optimize_tool: makes an exported graph into the folder that goes to the device.

optimization.json in it says what was fused, the operators and bytes before and after, how each tensor is quantised, the
widths of the kernels, and the versions of the tools.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qatflow.base import provenance
from qatflow.data.manifest import read_manifest
from qatflow.graph.bias_steps import bias_steps, is_int4, with_least_integers
from qatflow.graph.graph import Graph
from qatflow.graph.names import listed
from qatflow.graph.store import load_files
from qatflow.optimize.folder import operator_counts, quantised_tensors, write_folder
from qatflow.tflite.check import check_model
from qatflow.tflite.int4 import BITS, check_same_outputs, with_int4_kernels
from qatflow.tflite.lower import Converted, convert
from qatflow.tflite.rounding import rounding_differently, warning
from qatflow.tflite.slow_layers import slow_layers
from qatflow.tflite.verify import verify


def optimize(
    model_file: Path, param_file: Path, data: Path | None, output: Path, int4_storage: bool = False
) -> Converted:
    """Optimise an exported model.

    Args:
        model_file: `model` of float/ or int8/ (or of pretrain/<name>_pretrained/, for the float baseline).
        param_file: `weights` beside it.
        data: manifest.json of the data, whose labels and preprocessing go with the model; None: without them.
        output: folder to write; it appears complete or not at all.
        int4_storage: whether kernels of up to 4 bits are stored as INT4.

    Raises:
        UserError: the device's run-time lacks a kernel for a node (all are listed), a layer would run in float, or the
            new model cannot be loaded and run; or LiteRT reads other integers from INT4.
    """
    return optimize_graph(load_files(model_file, param_file), [model_file, param_file], data, output, int4_storage)


def optimize_graph(
    graph: Graph, files: Sequence[Path], data: Path | None, output: Path, int4_storage: bool = False
) -> Converted:
    """Optimise a graph.

    Args:
        graph: float or quantised.
        files: that it was read from.
        data: see `optimize`.
        output: see `optimize`.
        int4_storage: see `optimize`.

    Raises:
        UserError: as `optimize`.
    """
    if int4_storage:
        graph = with_least_integers(graph)
        for line in _coarse_biases(graph):
            print(f"warning: {line}")
    manifest = read_manifest(data) if data is not None else None
    converted = convert(graph)
    in_int4: list[str] = []
    if int4_storage:
        converted, in_int4 = _in_int4(converted)
    operators = verify(converted.graph, converted.content, in_int4)
    check_model(converted.content, converted.graph)
    different = rounding_differently(operators)
    if different:
        print(warning(different))
    for line in slow_layers(converted.content):
        print(f"warning: {line}")
    inputs = [*files, *([data] if data is not None else [])]
    about = {
        "fused": converted.done,
        "left_in_float": [
            node.name
            for node in converted.graph.nodes
            if node.kernel is not None and graph.weight_scales and node.kernel not in graph.weight_scales
        ],
        "operators_before": dict(Counter(type(node.operation).__name__ for node in graph.nodes)),
        "operators_after": operator_counts(operators),
        "bytes_before": sum(file.stat().st_size for file in files),
        "bytes_after": len(converted.content),
        "parameter_bytes": _parameter_bytes(converted.graph, in_int4),
        "weight_bits": sorted({scale.bits for name, scale in graph.weight_scales.items() if name in _kernels(graph)}),
        "tensors": quantised_tensors(operators),
        "rounding_differently": different,
        "int4_kernels": in_int4,
        "provenance": provenance.record(inputs, {}),
    }
    write_folder(output, converted.content, manifest, about)
    return converted


def _parameter_bytes(graph: Graph, in_int4: Collection[str]) -> int:
    """Return the bytes of kernels and biases only, as stored for the device (4 per bias, half of one per INT4)."""
    weights = {name: np.asarray(values) for name, values in graph.weights.items()}
    return sum(-(-one.size * BITS // 8) if name in in_int4 else one.nbytes for name, one in weights.items())


def _kernels(graph: Graph) -> set[str | None]:
    return {node.kernel for node in graph.nodes}


def _coarse_biases(graph: Graph) -> Iterator[str]:
    """Yield a line if kernels that will be INT4 leave their biases with coarse steps."""
    narrow = {node.kernel for node in graph.nodes if is_int4(node, graph)}
    coarse = {one.name: one.steps.max() for one in bias_steps(graph) if one.kernel in narrow and one.steps.max() > 1}
    if coarse:
        yield (
            f"int4_storage: a step of the bias is up to {max(coarse.values()):.1f} steps of the layer's output, which "
            f"training did not see, and which only int8 has room to avoid: {listed(list(coarse))}"
        )


def _in_int4(converted: Converted) -> tuple[Converted, list[str]]:
    """Return the model with its kernels of up to 4 bits as INT4, which LiteRT reads as the same integers, and these."""
    narrow = [name for name, scale in converted.graph.weight_scales.items() if scale.bits <= BITS]
    content, stored = with_int4_kernels(converted.content, narrow)
    kernels = [node.kernel for node in converted.graph.nodes if node.kernel in narrow and node.kernel not in stored]
    if kernels:
        print(f"stored as int8, since LiteRT reads no INT4 there: {', '.join(map(str, kernels))}")
    if not stored:
        print(f"int4_storage: no layer has weights of at most {BITS} bits that can be stored as INT4")
        return converted, []
    check_same_outputs(converted.content, content)
    print(f"kernels stored as INT4: {len(stored)}; LiteRT's own kernels give the same outputs as with int8")
    return replace(converted, content=content), stored
