"""The smallest scale in which the int8 kernels can write a tensor.

A kernel computes in steps of its inputs' scales (times the scale of its weights) and converts to steps of its output
by a multiplier, the quotient of the two. LiteRT's kernels accept multipliers below 256. From there on XNNPACK refuses
to start a convolution, depthwise convolution or dense layer, an addition saturates at the wrong end, and from 2^19 on
TensorFlow Lite's own addition ends the process (tried with ai-edge-litert's interpreter; XNNPACK's source says 256 as
well). A trained network is far from that, at about 0.001: output steps of 1/255 of the smallest difference that the
inputs can make carry no information. Only a tensor whose values are all (nearly) zero would get there.

A ReLU6 is clipped at the integer of 6, which must fit int32: LiteRT's own kernels refuse a smaller scale (XNNPACK's do
not), as happens to untrained networks, whose values become smaller from layer to layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from qatflow.graph.families import FIXED_GRID, PASS_THROUGH
from qatflow.graph.graph import Graph, Node, WeightScale
from qatflow.graph.kinds import Shape
from qatflow.graph.operations import (
    Add,
    Concat,
    GlobalAveragePool,
    HardSwish,
    LeakyRelu,
    Maximum,
    Minimum,
    Multiply,
    PRelu,
    Relu,
    Relu6,
    Rescale,
    Subtract,
)
from qatflow.graph.passes import run_all
from qatflow.graph.shapes import shapes
from qatflow.graph.silent_channels import BIAS_LIMIT

LARGEST_MULTIPLIER = 255.0
"""XNNPACK accepts multipliers below 256; the margin is for the rounding of the scales to float32."""
HARD_SWISH_FACTOR = LARGEST_MULTIPLIER / 63
"""HARD_SWISH is refused from a multiplier of 128 on, and from 64 on it rounds negative values differently on ARM."""
KERNEL_BITS = 8
LEAST_SCALE = float(np.finfo(np.float32).tiny)
"""XNNPACK accepts no denormal numbers."""
LARGEST_CLIP = 2.0**30
"""Steps up to a fused activation's bound: within int32, with a zero point added too."""
SIX = 6.0


def least_scale(inputs: Sequence[float], factor: float = 1.0, *, multiplied: bool = False, clip: float = 0.0) -> float:
    """Return the smallest scale of a kernel's output.

    Args:
        inputs: scales of its inputs.
        factor: what one input step is multiplied by: the largest scale of the weights, the slope of a leaky ReLU, 1/n
            for a mean over n values.
        multiplied: whether the inputs are multiplied with each other; otherwise each is converted by itself.
        clip: real value at which the kernel clips its output; 0 if it does not, or at 0 alone.
    """
    step = prod(inputs) if multiplied else max(inputs)
    return max(step * factor / LARGEST_MULTIPLIER, clip / LARGEST_CLIP, LEAST_SCALE)


def held(graph: Graph) -> tuple[Graph, dict[str, tuple[float, float]]]:
    """Return the graph with every scale large enough for the kernels, and the raised ones by node: before and after.

    Args:
        graph: quantised, before any pass. Scales computed for each input, and scales of widths that no kernel has, stay
            as they are.
    """
    folded, _ = run_all(graph)
    known = shapes(folded)
    # passes rename tensors, and keep the objects; tensors that share a scale share its object
    kernels = {id(own): own.scale for own in folded.activation_scales.values() if own.bits == KERNEL_BITS}
    scales = {key: scale for key, scale in kernels.items() if scale is not None}
    for node in folded.nodes:
        output = folded.activation_scales.get(node.name)
        least = None if output is None or id(output) not in scales else _least(folded, node, scales, known)
        if least is not None and least > scales[id(output)]:
            scales[id(output)] = float(np.nextafter(np.float32(least), np.float32(np.inf)))
    raised = {
        name: (own.scale, scales[id(own)])
        for name, own in graph.activation_scales.items()
        if own.scale is not None and scales.get(id(own), own.scale) > own.scale
    }
    return with_scales(graph, scales), raised


def with_scales(graph: Graph, scales: Mapping[Any, float]) -> Graph:
    """Return the graph with other scales of tensors, which share an object afterwards if they did before.

    Args:
        graph: quantised.
        scales: by the `id` of the `ActivationScale`; those that are missing stay.
    """
    every = {id(own): own for own in graph.activation_scales.values()}
    new = {key: replace(own, scale=scales.get(key, own.scale)) for key, own in every.items()}
    return replace(graph, activation_scales={name: new[id(own)] for name, own in graph.activation_scales.items()})


def _least(graph: Graph, node: Node, scales: dict[int, float], known: dict[str, Shape]) -> float | None:
    """Return the smallest scale of a node's output; None if its kernel accepts any, or computes in float."""
    operation = node.operation
    if not node.inputs or isinstance(operation, PASS_THROUGH) or node.name in graph.in_float:
        return None
    sources = [scales.get(id(graph.activation_scale(name))) for name in node.inputs]
    inputs = [scale for scale in sources if scale is not None]
    operand = graph.weight_scales.get(node.operand or "")
    if len(inputs) != len(sources) or type(operation) in FIXED_GRID:
        return None
    clip = SIX if isinstance(operation, Relu6) or getattr(operation, "activation", None) == "relu6" else 0.0
    if node.kernel is not None:
        kernel = graph.weight_scales.get(node.kernel)
        if kernel is None:
            return None
        # a kernel of zeros is written with a scale that its bias fits
        bias = np.abs(graph.weights.get(node.weight("bias"), np.zeros(1))).max() / (inputs[0] * BIAS_LIMIT)
        return least_scale(inputs, max(float(kernel.scale.max()), float(bias)), clip=clip)
    match operation:
        case Multiply():
            return least_scale([*inputs, *_scale(operand)], multiplied=True)
        case Add() | Subtract():
            return least_scale([*inputs, *_scale(operand)], clip=clip)
        case PRelu():
            return least_scale(inputs, max([1.0, *_scale(operand)]))
        case Rescale():
            return least_scale(inputs, float(np.abs(graph.weights[node.weight("factor")]).max()) / 127)
        case LeakyRelu():
            return least_scale(inputs, max(1.0, abs(operation.alpha)))
        case GlobalAveragePool():
            return least_scale(inputs, 1 / prod(known[node.inputs[0]][:2]))
        case HardSwish():
            return least_scale(inputs, HARD_SWISH_FACTOR)
        case Concat() | Maximum() | Minimum() | Relu() | Relu6():
            return least_scale(inputs, clip=clip)
        case _:
            return None


def _scale(weight: WeightScale | None) -> list[float]:
    return [] if weight is None else [float(weight.scale[0])]
