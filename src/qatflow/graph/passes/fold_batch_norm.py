"""Batch-norm folded into the convolution, depthwise convolution or dense layer before it.

With m = gamma / sqrt(variance + epsilon): kernel' = kernel · m, bias' = beta + (bias − mean) · m, per output channel
(Jacob et al. 2018, arXiv:1712.05877, §3.2). Of a quantised kernel the integers stay those of training: the scale
becomes scale · |m| and the integers of a channel with negative m change their sign.
"""

from dataclasses import replace

import numpy as np

from qatflow.graph.edit import absorb, only_consumer
from qatflow.graph.graph import Graph, Node, WeightScale, along_channels
from qatflow.graph.operations import BatchNorm


def apply(graph: Graph) -> tuple[Graph, list[str]]:
    """Return the graph with folded batch-norm, and what was done."""
    done = []
    for node in graph.nodes:
        if node.kernel is None:
            continue
        follower = only_consumer(graph, node)
        if follower is not None and isinstance(follower.operation, BatchNorm):
            graph = _fold(graph, node, follower, follower.operation)
            done.append(f"{follower.name} folded into {node.name}")
    return graph, done


def _fold(graph: Graph, node: Node, norm: Node, operation: BatchNorm) -> Graph:
    kernel_name = node.kernel
    assert kernel_name is not None
    gamma, beta, mean, variance = (
        graph.weights[norm.weight(role)].astype(np.float64)
        for role in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + operation.epsilon)
    bias_name = node.weight("bias")
    bias = graph.weights[bias_name].astype(np.float64) if bias_name in graph.weights else 0.0
    weights = dict(graph.weights)
    weights[bias_name] = (beta + (bias - mean) * factor).astype(np.float32)
    scales = dict(graph.weight_scales)
    kernel = weights[kernel_name]
    known = scales.get(kernel_name)
    if known is None:
        weights[kernel_name] = (kernel * along_channels(factor, kernel)).astype(np.float32)
    else:
        signs = np.where(factor < 0, -1, 1).astype(kernel.dtype)
        weights[kernel_name] = kernel * along_channels(signs, kernel)
        scales[kernel_name] = WeightScale(known.bits, (known.scale * np.abs(factor)).astype(np.float32))
    return absorb(replace(graph, weights=weights, weight_scales=scales), norm, node)
