"""A float graph with scales where training would put them: the shape of its int8 model before there is one."""

from dataclasses import replace

import numpy as np

from qatflow.compress.placement import nodes_in_float, quantised_kernels, quantised_tensors, shared_scales
from qatflow.compress.settings import QuantSettings
from qatflow.graph.graph import ActivationScale, Graph, WeightScale
from qatflow.graph.operations import FIXED_GRID, Dense

RANGE = 8.0
"""In place of every tensor's greatest value, which only training finds."""


def as_if_quantised(graph: Graph, settings: QuantSettings) -> Graph:
    """Return the graph with integers for its kernels, and scales, where training for int8 would put them.

    Operators and types are those of the int8 model; what it computes is of no use.

    Args:
        graph: in float.
        settings: how it is to be quantised.
    """
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    weights, scales = dict(graph.weights), {}
    for name, kernel in kernels.items():
        node = graph.node(name)
        by_channel = settings.weight_quantize_type == "channel_wise_abs_max" and not isinstance(node.operation, Dense)
        channels = int(np.prod(weights[kernel].shape[-2:] if node.is_depthwise else weights[kernel].shape[-1:]))
        # any range: integers and scales have no part in what is executed
        weights[kernel] = np.clip(np.rint(weights[kernel] * 127), -127, 127).astype(np.int8)
        scales[kernel] = WeightScale(8, np.full(channels if by_channel else 1, 1 / 127, np.float32))
    fixed = {name: FIXED_GRID.get(type(graph.node(name).operation), (RANGE / 127, 0)) for name in tensors}
    activations = {name: ActivationScale(8, scale, zero_point) for name, (scale, zero_point) in fixed.items()}
    shared = {name: activations[concat] for name, concat in shared_scales(graph, tensors).items()}
    return replace(
        graph,
        weights=weights,
        weight_scales=scales,
        activation_scales={**activations, **shared},
        in_float=nodes_in_float(graph, settings.skip_pattern),
    )
