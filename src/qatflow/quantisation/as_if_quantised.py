"""A float graph with scales where training would put them: what its int8 model will look like, before training."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qatflow.config.recipe.recipe import BY_CHANNEL
from qatflow.graph.bias_steps import with_fine_biases
from qatflow.graph.families import fixed_grid
from qatflow.graph.graph import ActivationScale, Graph, WeightScale, along_channels
from qatflow.graph.kernel_bounds import held
from qatflow.graph.never_negative import never_negative
from qatflow.graph.operations import Dense
from qatflow.graph.same_rounding import settled
from qatflow.graph.silent_channels import silence
from qatflow.graph.store import integer_type
from qatflow.quantisation.grids import SMALLEST, grid
from qatflow.quantisation.kernel_scales import WeightRange, kernel_scale
from qatflow.quantisation.placement import (
    QuantSettings,
    fits,
    nodes_in_float,
    quantised_kernels,
    quantised_operands,
    quantised_tensors,
    shared_scales,
)
from qatflow.quantisation.widths import kernel_bits, operand_bits, tensor_bits

RANGE = 8.0
"""Stands for every tensor's greatest value, which only training finds."""


def as_if_quantised(
    graph: Graph,
    settings: QuantSettings,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    weight_range: WeightRange = "max",
) -> Graph:
    """Return the graph with integer kernels and scales where training for int8 would put them.

    Operators and types are those of the int8 model. With ranges the graph computes what the int8 model would before any
    training; without, its values mean nothing.

    Args:
        graph: in float.
        settings: how to quantise it.
        ranges: least and greatest value of each quantised tensor, by its node's name.
        weight_range: which part of a kernel's range gets integers.
    """
    return with_fine_biases(nearest_integers(graph, settings, ranges, weight_range))


def nearest_integers(
    graph: Graph,
    settings: QuantSettings,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    weight_range: WeightRange = "max",
) -> Graph:
    """Return the graph of `as_if_quantised`, with integers of just their layer's width.

    Args:
        graph: in float.
        settings: how to quantise it.
        ranges: least and greatest value of each quantised tensor, by its node's name.
        weight_range: which part of a kernel's range gets integers.
    """
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    bits = kernel_bits(graph, kernels, settings.weight_bits)
    weights, scales = dict(graph.weights), {}
    for name, kernel in kernels.items():
        node = graph.node(name)
        by_channel = settings.weight_quantize_type in BY_CHANNEL and not isinstance(node.operation, Dense)
        channels = graph.kernel_channels(node) if by_channel else None
        end = 2 ** (bits[name] - 1) - 1
        scale = kernel_scale(weights[kernel], channels, bits[name], weight_range)
        integers = np.rint(weights[kernel] / along_channels(scale, weights[kernel]))
        weights[kernel] = np.clip(integers, -end, end).astype(integer_type(bits[name]))
        scales[kernel] = WeightScale(bits[name], scale)
    widths = tensor_bits(graph, tensors, settings.activation_bits)
    operands = quantised_operands(graph, kernels, settings.skip_pattern)
    for name, width in operand_bits(graph, operands, widths).items():
        operand, end = operands[name], 2 ** (width - 1) - 1
        scale = np.atleast_1d(np.maximum(np.abs(weights[operand]).max(), SMALLEST) / end).astype(np.float32)
        weights[operand] = np.rint(weights[operand] / scale).astype(integer_type(width))
        scales[operand] = WeightScale(width, scale)
    activations = {}
    for name, fit in sorted(fits(settings, widths, never_negative(graph)).items()):
        ends = (-RANGE, RANGE) if ranges is None else ranges[name]
        chosen = fixed_grid(graph.node(name).operation, widths[name]) or grid(*ends, widths[name], fit)
        activations[name] = ActivationScale(widths[name], *chosen)
    shared = {name: activations[concat] for name, concat in shared_scales(graph, widths).items()}
    quantised = replace(
        graph,
        weights=weights,
        weight_scales=scales,
        activation_scales={**activations, **shared},
        in_float=nodes_in_float(graph, settings.skip_pattern),
    )
    return silence(settled(held(quantised)[0]))[0]
