"""A graph quantised by the definitions, in NumPy."""

from dataclasses import replace

import numpy as np

from helpers.graphs import pictures
from helpers.numpy_network import execute
from qatflow.graph.graph import ActivationScale, Graph, WeightScale


def quantised(graph: Graph, per_channel: bool) -> Graph:
    """Quantise by the definitions, in NumPy: scale = max|x| / 127, activations over the pictures."""
    tensors = execute(graph, pictures())
    integers, weight_scales = {}, {}
    for node in graph.nodes:
        if node.kernel is None:
            continue
        kernel = graph.weights[node.kernel]
        depthwise = node.kernel.endswith("depthwise_kernel")
        flat = kernel.reshape(-1, kernel.shape[2] if depthwise else kernel.shape[3]) if kernel.ndim == 4 else kernel
        one = not per_channel or kernel.ndim == 2
        scale = np.atleast_1d(np.abs(flat).max(axis=None if one else 0) / 127).astype(np.float32)
        laid = scale.reshape(-1, 1) if depthwise and not one else scale
        integers[node.kernel] = np.rint(kernel / laid).astype(np.int8)
        weight_scales[node.kernel] = WeightScale(8, scale)
    names = ("input", "conv_relu", "dw_relu", "left_bn", "sum_relu", "pool", "logits")
    scales = {n: ActivationScale(8, float(np.float32(np.abs(tensors[n]).max() / 127))) for n in names}
    return replace(graph, weights={**graph.weights, **integers}, weight_scales=weight_scales, activation_scales=scales)
