"""The graph of a quantised ONNX model: its integers and scales as they are, with float where no int8 kernel fits."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.families import CLIPPING, FIXED_GRID, FLOAT_ONLY, FUSED, PASS_THROUGH, rounding
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import BatchNorm, Input
from qatflow.models.onnx.translate import TranslatedOnnx, translated

SAME_STEP = 1e-5
"""Largest relative difference between a bias' scale and (input's scale) · (kernel's scale), both rounded to float32."""


@dataclass(frozen=True)
class QuantisedOnnx:
    """A graph that can be written as an int8 .tflite.

    Attributes:
        graph: with the model's integers and scales.
        origin: the translated model.
        in_float: a line for each layer that runs in float, with the reason.
        biases: int32 biases that must come out unchanged, by the weight's name.
    """

    graph: Graph
    origin: TranslatedOnnx
    in_float: tuple[str, ...]
    biases: dict[str, np.ndarray]


def quantised_onnx(path: Path) -> QuantisedOnnx:
    """Return the graph of a model with QuantizeLinear and DequantizeLinear.

    A layer with an integer kernel whose input or output has no scale computes in float with the kernel's real values,
    as in ONNX. So does an operation whose int8 kernel writes in a scale of its own, if the model has another one.

    Args:
        path: the file.

    Raises:
        UserError: see `translate.translated`; or none of its layers runs in integers.
    """
    origin = translated(path)
    graph = origin.graph
    if not graph.weight_scales and not origin.float_reasons:
        hint = "its weights are float" if graph.activation_scales else "it is a float model"
        raise UserError(
            f"{path} is not quantised: {hint}. quantized_model takes a model with QuantizeLinear and DequantizeLinear "
            "around its layers (QDQ), with int8 weights; a float model is named in model.file"
        )
    graph = _with_moved_scales(graph)
    said = []
    in_float = set(graph.in_float)
    for node in graph.nodes:
        reason = origin.float_reasons.get(node.name) or _float_reason(graph, node)
        if reason:
            said.append(f"{node.name} ({type(node.operation).__name__}): {reason}")
            if node.kernel is None:
                in_float.add(node.name)
            else:
                graph = _with_real_kernel(graph, node)
    graph = replace(graph, in_float=frozenset(in_float))
    if not graph.weight_scales:
        raise UserError(f"{path}: none of its layers can run in integers: {'; '.join(said)}")
    graph, biases = _exact_biases(graph, origin)
    return QuantisedOnnx(graph, origin, tuple(said), biases)


def _with_moved_scales(graph: Graph) -> Graph:
    """Return the graph in which an operation that moves values has its scale from the tensor that it reads.

    Rounding before or behind it is the same, so a scale that only it has goes to that tensor, if nothing else reads it.
    """
    scales, in_float = dict(graph.activation_scales), set(graph.in_float)
    for node in reversed(graph.nodes):
        operation = node.operation
        if node.name not in in_float or not isinstance(operation, PASS_THROUGH) or rounding(operation) is not None:
            continue
        (source,) = node.inputs
        alone = graph.consumers(source) == [node] and source not in graph.outputs
        if alone and replace(graph, activation_scales=scales).activation_scale(source) is None:
            scales[source] = scales.pop(node.name)
            in_float.discard(node.name)
            if isinstance(graph.node(source).operation, PASS_THROUGH):
                in_float.add(source)  # and further on to what that reads
    return replace(graph, activation_scales=scales, in_float=frozenset(in_float))


def _float_reason(graph: Graph, node: Node) -> str:
    """Return why a node runs in float; an empty text if it runs in int8, or is none of the layers that compute."""
    operation = node.operation
    if isinstance(operation, Input) or (isinstance(operation, PASS_THROUGH) and node.name not in graph.in_float):
        return ""
    if isinstance(operation, FLOAT_ONLY):
        return "it has no int8 kernel"
    if node.name in graph.in_float:
        if graph.activation_scale(node.inputs[0]) is None:
            return f"its input {node.inputs[0]} is not quantised"
        return "its output has another scale than its input, which its int8 kernel passes on"
    if _is_fused(graph, node):
        return ""
    scale = graph.activation_scale(_last_fused(graph, node).name)
    if scale is None:
        return "its output is not quantised"
    missing = [name for name in node.inputs if graph.activation_scale(name) is None]
    if missing:
        return f"its input {missing[0]} is not quantised"
    if node.kernel is not None and node.kernel not in graph.weight_scales:
        return "its kernel is not quantised"
    if node.operand in graph.weights and node.operand not in graph.weight_scales:
        return "its constant is not quantised with one scale and zero point 0"
    fixed = FIXED_GRID.get(type(operation))
    if fixed is not None and (scale.scale, scale.zero_point) != fixed:
        return f"its int8 kernel writes in steps of {fixed[0]:g}, and the model has another scale"
    return ""


def _is_fused(graph: Graph, node: Node) -> bool:
    """Return whether the device computes a batch-norm or an activation together with the layer before it."""
    if not isinstance(node.operation, FUSED):
        return False
    (source,) = node.inputs
    return (
        source not in (*graph.activation_scales, *graph.outputs)
        and isinstance(graph.node(source).operation, (BatchNorm, *CLIPPING))
        and len(graph.consumers(source)) == 1
    )


def _last_fused(graph: Graph, node: Node) -> Node:
    """Return the last of the nodes that the device computes together with a layer."""
    while (readers := graph.consumers(node.name)) and _is_fused(graph, readers[0]):
        node = readers[0]
    return node


def _with_real_kernel(graph: Graph, node: Node) -> Graph:
    """Return the graph in which a layer's kernel and bias are float32."""
    assert node.kernel is not None
    weights = {**graph.weights, node.kernel: graph.real_weight(node.kernel)}
    bias = node.weight("bias")
    if bias in weights:
        weights[bias] = weights[bias].astype(np.float32)
    scales = {name: scale for name, scale in graph.weight_scales.items() if name != node.kernel}
    return replace(graph, weights=weights, weight_scales=scales)


def _exact_biases(graph: Graph, origin: TranslatedOnnx) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return the graph with biases that become the model's own int32 again, and these."""
    weights, biases = dict(graph.weights), {}
    for node in graph.nodes:
        name = node.weight("bias")
        stored = origin.biases.get(name)
        if stored is None or node.kernel is None or node.kernel not in graph.weight_scales or stored.zero_point.any():
            continue
        source = graph.activation_scale(node.inputs[0])
        assert source is not None and source.scale is not None
        step = graph.weight_scales[node.kernel].scale.astype(np.float64) * source.scale
        if np.all(np.abs(stored.scale / step - 1) <= SAME_STEP):
            weights[name] = stored.values * np.broadcast_to(step, stored.values.shape)
            biases[name] = stored.values
    return replace(graph, weights=weights), biases
