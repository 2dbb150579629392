"""Silent channels: the kernel is negligible beside the bias, no int8 run-time can hold it, and training zeroes it.

A bias is an int32 in steps of (input's scale) · (kernel's scale). Where batch-norm has almost switched a channel off,
that step is so small that the bias does not fit. The products have the same step: a sum of n of them is at most
n · 128 · 127 / 2^30 of the bias if every integer is at its limit (0.01 % for n = 9, 1.6 % for n = 1,024), and far less
in practice. Such kernels are set to zero once, where training reads off the integers, so that every form of the model
is the same.
"""

from dataclasses import replace

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operator_bits import NARROW, WIDE, operator_bits, seen_in
from qatflow.graph.passes import run_all

BIAS_LIMITS = {NARROW: 2.0**30, WIDE: 2.0**46}
"""Half of int32, and half of what LiteRT multiplies of int64; the other half is left for the sum of the products."""
LEAST_MULTIPLIER = 2.0**-31  # XNNPACK accepts multipliers from 2^-32; below this a full int32 is half an output step


def least_scale(bias: np.ndarray, source_scale: float, output_scale: float, bits: int = NARROW) -> np.ndarray:
    """Return the smallest scale of each output channel's kernel that int8 kernels can run, float64 [channels].

    Args:
        bias: float32 [channels], batch-norm folded in.
        source_scale: scale of the layer's input.
        output_scale: scale of its output.
        bits: width of both tensors.
    """
    for_bias = np.abs(bias.astype(np.float64)) / (source_scale * BIAS_LIMITS[bits])
    floor = max(LEAST_MULTIPLIER * output_scale / source_scale, float(np.finfo(np.float32).tiny))
    return np.maximum(for_bias, floor)


def silence(graph: Graph) -> tuple[Graph, dict[str, list[int]]]:
    """Return the graph with the kernels of silent channels set to zero, and the numbers of these channels by node.

    Args:
        graph: quantised, before any pass. Layers whose input or output has no fixed scale are left as they are.
    """
    folded, _ = run_all(graph)
    weights = dict(graph.weights)
    silent: dict[str, list[int]] = {}
    for node in folded.nodes:
        channels = _silent(folded, node)
        if channels.size:
            assert node.kernel is not None
            kernel = weights[node.kernel].copy()
            # the output channels are the last axis of a kernel, or the last two of a depthwise one
            kernel.reshape(-1, folded.kernel_channels(node))[:, channels] = 0
            weights[node.kernel] = kernel
            silent[node.name] = channels.tolist()
    return replace(graph, weights=weights), silent


def _silent(folded: Graph, node: Node) -> np.ndarray:
    known = folded.weight_scales.get(node.kernel or "")
    if known is None:
        return np.empty(0, int)
    source, output = folded.activation_scale(node.inputs[0]), folded.activation_scales.get(node.name)
    if source is None or output is None:
        return np.empty(0, int)
    bias = folded.weights.get(node.weight("bias"), np.zeros(folded.kernel_channels(node), np.float32))
    bits = operator_bits(folded, node)
    read, written = seen_in(bits, source).scale, seen_in(bits, output).scale
    if read is None or written is None:
        return np.empty(0, int)
    return np.flatnonzero(known.scale < least_scale(bias, read, written, WIDE if bits == WIDE else NARROW))
