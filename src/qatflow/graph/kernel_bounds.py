"""The least scale that the int8 kernels can write a tensor in.

A kernel brings what it has computed, in steps of its inputs' scales (times its kernel's), to steps of its output: by a
multiplier, which is the quotient of the two. LiteRT's kernels take one below 256. From there on XNNPACK cannot be
started with a convolution, depthwise convolution or dense layer, an addition saturates at the wrong end, and from 2^19
on TensorFlow Lite's own addition ends the process (tried with ai-edge-litert's interpreter; XNNPACK's source says 256
as well). A trained network is far from it, at 0.001 or so: a step of the output that is 1/255 of the least difference
its inputs can make tells nothing. A tensor whose values are all zero, or nearly, would get there.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import Shape
from qatflow.graph.operations import (
    FIXED_GRID,
    PASS_THROUGH,
    Add,
    Concat,
    GlobalAveragePool,
    LeakyRelu,
    Multiply,
    Relu,
    Relu6,
)
from qatflow.graph.passes import run_all
from qatflow.graph.shapes import shapes
from qatflow.graph.silent_channels import BIAS_LIMIT

LARGEST_MULTIPLIER = 255.0
"""XNNPACK takes what is below 256; the rest is for the rounding of the scales to float32."""
KERNEL_BITS = 8
LEAST_SCALE = float(np.finfo(np.float32).tiny)
"""XNNPACK takes no denormal numbers."""


def least_scale(inputs: Sequence[float], factor: float = 1.0, *, multiplied: bool = False) -> float:
    """Return the least scale of a kernel's output.

    Args:
        inputs: scales of its inputs.
        factor: what a step of an input counts for: the greatest scale of a kernel, the slope of a leaky ReLU, 1/n for
            a mean over n values.
        multiplied: whether the inputs are multiplied with each other; else each is brought to the output by itself.
    """
    step = prod(inputs) if multiplied else max(inputs)
    return max(step * factor / LARGEST_MULTIPLIER, LEAST_SCALE)


def held(graph: Graph) -> tuple[Graph, dict[str, tuple[float, float]]]:
    """Return the graph with scales that the kernels can hold, and those raised: before and after, by node.

    Args:
        graph: quantised, before any pass. Scales that are found anew for each input, and those of widths that no
            kernel has, stay as they are.
    """
    folded, _ = run_all(graph)
    known = shapes(folded)
    # passes rename tensors, and keep the objects; tensors that share a scale share its object
    kernels = {id(one): one.scale for one in folded.activation_scales.values() if one.bits == KERNEL_BITS}
    scales = {key: scale for key, scale in kernels.items() if scale is not None}
    for node in folded.nodes:
        made = folded.activation_scales.get(node.name)
        least = None if made is None or id(made) not in scales else _least(folded, node, scales, known)
        if least is not None and least > scales[id(made)]:
            scales[id(made)] = float(np.nextafter(np.float32(least), np.float32(np.inf)))
    raised = {
        name: (one.scale, scales[id(one)])
        for name, one in graph.activation_scales.items()
        if one.scale is not None and scales.get(id(one), one.scale) > one.scale
    }
    changed = {name: replace(graph.activation_scales[name], scale=scale) for name, (_, scale) in raised.items()}
    return replace(graph, activation_scales={**graph.activation_scales, **changed}), raised


def _least(graph: Graph, node: Node, scales: dict[int, float], known: dict[str, Shape]) -> float | None:
    """Return the least scale of what a node makes; None where its kernel takes any, or computes in float."""
    operation = node.operation
    if not node.inputs or isinstance(operation, PASS_THROUGH) or node.name in graph.in_float:
        return None
    sources = [scales.get(id(graph.activation_scale(name))) for name in node.inputs]
    inputs = [scale for scale in sources if scale is not None]
    if len(inputs) != len(sources) or type(operation) in FIXED_GRID:
        return None
    if node.kernel is not None:
        kernel = graph.weight_scales.get(node.kernel)
        if kernel is None:
            return None
        # a kernel of zeros is written in a scale that its bias fits
        bias = np.abs(graph.weights.get(node.weight("bias"), np.zeros(1))).max() / (inputs[0] * BIAS_LIMIT)
        return least_scale(inputs, max(float(kernel.scale.max()), float(bias)))
    match operation:
        case Multiply():
            return least_scale(inputs, multiplied=True)
        case LeakyRelu():
            return least_scale(inputs, max(1.0, abs(operation.alpha)))
        case GlobalAveragePool():
            return least_scale(inputs, 1 / prod(known[node.inputs[0]][:2]))
        case Add() | Concat() | Relu() | Relu6():
            return least_scale(inputs)
        case _:
            return None
