"""The smallest scale in which the int8 kernels can write a tensor.

A kernel computes in steps of its inputs' scales (times the scale of its weights) and converts to steps of its output
by a multiplier, the quotient of the two. LiteRT's kernels accept multipliers below 256. From there on XNNPACK refuses
to start a convolution, depthwise convolution or dense layer, an addition saturates at the wrong end, and from 2^19 on
TensorFlow Lite's own addition ends the process (tried with ai-edge-litert's interpreter; XNNPACK's source says 256 as
well). A trained network is far from that, at about 0.001: output steps of 1/255 of the smallest difference that the
inputs can make carry no information. Only a tensor whose values are all (nearly) zero would get there.

The int16 kernels have other bounds, where their arithmetic would overflow without a word: multipliers from 2^15 on are
shifted out of int32 (an addition ends the process from 2^14 on), the product of two tensors and a slope that is read as
int8 leave less room, and what a convolution computes must fit int32 before it is clipped (LiteRT's `common.cc`).

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
from qatflow.graph.operator_bits import FINER, NARROW, WIDE, operator_bits, seen_in
from qatflow.graph.passes import run_all
from qatflow.graph.shapes import shapes
from qatflow.graph.silent_channels import BIAS_LIMITS

LARGEST_MULTIPLIER = 255.0
"""XNNPACK accepts multipliers below 256; the margin is for the rounding of the scales to float32."""
LARGEST_MULTIPLIERS = {NARROW: LARGEST_MULTIPLIER, WIDE: 2.0**13}
"""By width of the kernels."""
PRODUCT_FACTOR = 2.0**13
"""A product of two int16 takes 30 bits, so that its multiplier must be below 1: this much less than that of a sum."""
SLOPE_FACTOR = 2.0**6
"""A product of an int16 and a slope of int8 takes 22 bits."""
SUM_FACTOR = 2.0**7
"""LiteRT's arithmetic for int64 sums, those of convolutions, takes multipliers below 2^7."""
SUM_LIMIT = 2.0**30
"""Steps of a convolution's output that its sum may reach: half of int32."""
HARD_SWISH_FACTOR = LARGEST_MULTIPLIER / 63
"""HARD_SWISH is refused from a multiplier of 128 on, and from 64 on it rounds negative values differently on ARM."""
LEAST_SCALE = float(np.finfo(np.float32).tiny)
"""XNNPACK accepts no denormal numbers."""
LARGEST_CLIP = 2.0**30
"""Steps up to a fused activation's bound: within int32, with a zero point added too."""
SIX = 6.0


def least_scale(
    inputs: Sequence[float],
    factor: float = 1.0,
    *,
    multiplied: bool = False,
    clip: float = 0.0,
    bits: int = NARROW,
) -> float:
    """Return the smallest scale of a kernel's output.

    Args:
        inputs: scales of its inputs.
        factor: what one input step is multiplied by: the largest scale of the weights, the slope of a leaky ReLU, 1/n
            for a mean over n values.
        multiplied: whether the inputs are multiplied with each other; otherwise each is converted by itself.
        clip: real value at which the kernel clips its output; 0 if it does not, or at 0 alone.
        bits: width of its tensors.
    """
    step = prod(inputs) if multiplied else max(inputs)
    if multiplied and bits == WIDE:
        factor *= PRODUCT_FACTOR
    return max(step * factor / LARGEST_MULTIPLIERS[bits], clip / LARGEST_CLIP, LEAST_SCALE)


def held(graph: Graph) -> tuple[Graph, dict[str, tuple[float, float]]]:
    """Return the graph with every scale large enough for the kernels, and the raised ones by node: before and after.

    Args:
        graph: quantised, before any pass. Scales computed for each input, and scales of widths that no kernel has, stay
            as they are.
    """
    folded, _ = run_all(graph)
    known = shapes(folded)
    # passes rename tensors, and keep the objects; tensors that share a scale share its object
    kernels = {id(own): own.scale for own in folded.activation_scales.values() if own.bits in LARGEST_MULTIPLIERS}
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
    bits, own = operator_bits(graph, node), [graph.activation_scale(name) for name in node.inputs]
    sources = [replace(scale, scale=scales[id(scale)]) for scale in own if scale is not None and id(scale) in scales]
    inputs = [float(scale.scale) for source in sources if (scale := seen_in(bits, source)).scale is not None]
    if len(inputs) != len(own) or type(operation) in FIXED_GRID:
        return None
    least = _of_width(graph, node, inputs, known, bits)
    # a tensor of 8 bits is written in finer steps first
    return least if least is None or graph.activation_scales[node.name].bits == bits else least * FINER


def _of_width(graph: Graph, node: Node, inputs: list[float], known: dict[str, Shape], bits: int) -> float | None:
    """Return the smallest scale that a kernel of that width can write, with these scales of its inputs."""
    operation, wide = node.operation, bits == WIDE
    operand = graph.weight_scales.get(node.operand or "")
    clip = SIX if isinstance(operation, Relu6) or getattr(operation, "activation", None) == "relu6" else 0.0
    if node.kernel is not None:
        kernel = graph.weight_scales.get(node.kernel)
        if kernel is None:
            return None
        # a kernel of zeros is written with a scale that its bias fits
        bias = np.abs(graph.weights.get(node.weight("bias"), np.zeros(1))).max() / (inputs[0] * BIAS_LIMITS[bits])
        largest = max(float(kernel.scale.max()), float(bias))
        if wide:
            return max(
                least_scale(inputs, largest * SUM_FACTOR, clip=clip, bits=bits), _largest_sum(graph, node, inputs)
            )
        return least_scale(inputs, largest, clip=clip)
    match operation:
        case Multiply():
            return least_scale([*inputs, *_scale(operand)], multiplied=True, bits=bits)
        case Add() | Subtract():
            return least_scale([*inputs, *_scale(operand)], clip=clip, bits=bits)
        case PRelu():
            slopes = [scale * (SLOPE_FACTOR if wide else 1.0) for scale in _scale(operand)]
            return least_scale(inputs, max([1.0, *slopes]), bits=bits)
        case Rescale():
            largest = float(np.abs(graph.weights[node.weight("factor")]).max()) / 127
            return least_scale(inputs, largest * (SUM_FACTOR if wide else 1.0), bits=bits)
        case LeakyRelu():
            return least_scale(inputs, max(1.0, abs(operation.alpha)), bits=bits)
        case GlobalAveragePool():
            return least_scale(inputs, 1.0 if wide else 1 / prod(known[node.inputs[0]][:2]), bits=bits)
        case HardSwish():
            return least_scale(inputs, HARD_SWISH_FACTOR)
        case Concat() | Maximum() | Minimum() | Relu() | Relu6():
            return least_scale(inputs, clip=clip, bits=bits)
        case _:
            return None


def _largest_sum(graph: Graph, node: Node, inputs: list[float]) -> float:
    """Return the scale of an int16 kernel's output in which no sum of products and bias leaves int32."""
    assert node.kernel is not None
    kernel = np.abs(graph.real_weight(node.kernel).astype(np.float64))
    sums = kernel.reshape(-1, graph.kernel_channels(node)).sum(axis=0) * inputs[0] * 2.0 ** (WIDE - 1)
    bias = np.abs(graph.weights.get(node.weight("bias"), np.zeros(1, np.float32)))
    return float((sums + bias).max()) / SUM_LIMIT


def _scale(weight: WeightScale | None) -> list[float]:
    return [] if weight is None else [float(weight.scale[0])]
