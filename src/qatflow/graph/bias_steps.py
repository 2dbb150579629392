"""Finer steps of a layer's bias where its weights have few bits: the kernel's integers times a power of two.

The device adds an int32 bias to the products, in steps of (input's scale) · (kernel's scale). The fewer bits the
weights have, the larger is the kernel's scale: at 2 bits, whose integers are −1, 0 and 1, such a step can be 27 steps
of the layer's output. Fake quantisation does not round the bias, so training would not see what that costs.

The integers are stored as int8, which has room for larger ones. Integers 2^s times as large with a scale 2^s times as
small stand for the very same weights, and the bias has steps that are 2^s times as fine. The integers of 8 bits leave
no room; their steps are as fine already. Kernels as INT4 have none either: `with_least_integers`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from qatflow.graph.graph import Graph, Node, WeightScale
from qatflow.graph.operations import Conv2D, Dense, DepthwiseConv2D
from qatflow.graph.operator_bits import NARROW, WIDE, operator_bits, seen_in
from qatflow.graph.passes import run_all
from qatflow.graph.shifted import shared_zeros
from qatflow.graph.silent_channels import least_scale

FINE = 1 / 8
"""Steps of a layer's output that a step of its bias takes at most, where int8 has room for it."""
LARGEST = 127
STORED_BITS = 8
INT4_BITS = 4
INT4_LAYERS = (Conv2D, DepthwiseConv2D, Dense)
"""Layers whose kernels can be INT4 tensors."""


@dataclass(frozen=True)
class BiasSteps:
    """The steps of a layer's bias, in steps of its output.

    Attributes:
        name: of the layer's node.
        kernel: of its kernel.
        steps: float64 [channels].
        least: the steps below which no int32 holds the bias, or int64 in int16 kernels, float64 [channels].
    """

    name: str
    kernel: str
    steps: np.ndarray
    least: np.ndarray


def bias_steps(graph: Graph) -> Iterator[BiasSteps]:
    """Yield the steps of each bias that the device adds in integers.

    Args:
        graph: quantised, before any pass. Layers whose input or output has no fixed scale are left out.
    """
    folded, _ = run_all(graph)
    for node in folded.nodes:
        known = folded.weight_scales.get(node.kernel or "")
        if known is None or node.kernel is None:
            continue
        source, output = folded.activation_scale(node.inputs[0]), folded.activation_scales.get(node.name)
        if source is None or output is None:
            continue
        bits = operator_bits(folded, node)
        read, written = seen_in(bits, source).scale, seen_in(bits, output).scale
        if read is None or written is None:
            continue
        channels = folded.kernel_channels(node)
        bias = folded.weights.get(node.weight("bias"), np.zeros(channels, np.float32))
        least = least_scale(bias, read, written, WIDE if bits == WIDE else NARROW)
        scale = np.broadcast_to(known.scale.astype(np.float64), channels)
        yield BiasSteps(node.name, node.kernel, scale * read / written, least * read / written)


def with_fine_biases(graph: Graph) -> Graph:
    """Return the graph whose biases have steps of at most 1/8 of their output's, as far as int8 kernels have room.

    The real values of all weights stay exactly the same. A layer has one power of two for all of its channels. A bias
    that int32 holds is still held.

    Args:
        graph: quantised, before any pass, without channels that no int32 could hold (`silence`).
    """
    weights, scales = dict(graph.weights), dict(graph.weight_scales)
    for one in bias_steps(graph):
        shift = _shift(weights[one.kernel], scales[one.kernel].bits, one)
        _move(weights, scales, one.kernel, shift)
    return replace(graph, weights=weights, weight_scales=scales)


def with_least_integers(graph: Graph) -> Graph:
    """Return the graph with the least integers for the same weights in the kernels that INT4 tensors can store.

    Args:
        graph: quantised, before any pass.
    """
    weights, scales = dict(graph.weights), dict(graph.weight_scales)
    for node in graph.nodes:
        if node.kernel is not None and is_int4(node, graph):
            _move(weights, scales, node.kernel, -shared_zeros(weights[node.kernel]))
    return replace(graph, weights=weights, weight_scales=scales)


def is_int4(node: Node, graph: Graph) -> bool:
    """Return whether a node's kernel can be an INT4 tensor."""
    known = graph.weight_scales.get(node.kernel or "")
    return known is not None and known.bits <= INT4_BITS and isinstance(node.operation, INT4_LAYERS)


def _shift(integers: np.ndarray, bits: int, layer: BiasSteps) -> int:
    """Return the least s that makes the layer's steps fine, or the largest for which there is room."""
    if bits >= STORED_BITS:
        return 0
    # a channel of zeros gets a scale that holds its bias when it is written
    used = integers.reshape(-1, layer.steps.size).any(axis=0)
    room = (layer.steps / layer.least)[used].min(initial=np.inf)
    largest = max(int(np.abs(integers.astype(np.int16)).max(initial=0)), 2 ** (bits - 1) - 1)
    shift = 0
    while layer.steps.max() / 2**shift > FINE and largest << shift + 1 <= LARGEST and 2 ** (shift + 1) <= room:
        shift += 1
    return shift


def _move(weights: dict[str, np.ndarray], scales: dict[str, WeightScale], kernel: str, shift: int) -> None:
    """Multiply a kernel's integers by 2^shift, and divide its scale by it."""
    if shift:
        factor, known = np.float32(2.0**shift), scales[kernel]
        weights[kernel] = (weights[kernel] * factor).astype(weights[kernel].dtype)
        scales[kernel] = WeightScale(known.bits, (known.scale / factor).astype(np.float32))
