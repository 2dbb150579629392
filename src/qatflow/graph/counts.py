"""What a graph costs: multiply-adds for one picture, and parameters.

A multiply-add is one product and its addition, in convolutions, depthwise convolutions, dense layers and the two matrix
products of attention; papers give this number for a network (MobileNetV1 1.0/224: 569 M). What PaddleSlim 1.x calls
FLOPs is twice that number, plus biases, plus one for each value that a pool's window covers and that batch-norm and
ReLU write (`graph_wrapper.py`, `flops`), which are folded into earlier layers on the device. Except for those, the
removed share is the same in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import CONSTANTS, Operand, Shape
from qatflow.graph.operations import Attention, Conv2DTranspose
from qatflow.graph.shapes import shapes


@dataclass(frozen=True)
class Count:
    """What a node or a graph costs.

    Attributes:
        multiply_adds: for one picture.
        parameters: elements of all weights, including batch-norm's moving statistics, as in Keras' total parameters;
            constants of the model are none.
    """

    multiply_adds: int
    parameters: int


def counts(graph: Graph) -> dict[str, Count]:
    """Return what each node costs, by its name."""
    known = shapes(graph)
    parameters = {node.name: 0 for node in graph.nodes}
    for name, values in graph.weights.items():
        node, role = name.rsplit("/", 1)
        if role not in (Operand.role, *CONSTANTS):
            parameters[node] += values.size
    return {node.name: Count(_multiply_adds(graph, node, known), parameters[node.name]) for node in graph.nodes}


def total(graph: Graph) -> Count:
    """Return what the whole graph costs."""
    every = counts(graph).values()
    return Count(sum(count.multiply_adds for count in every), sum(count.parameters for count in every))


def of_kernel(elements: int, places: Sequence[int]) -> int:
    """Return the multiply-adds of a layer with a kernel: each of its elements is used once at each place.

    Args:
        elements: of the kernel.
        places: lengths of the output's axes but the last (of the input's, where a transposed convolution spreads it).
    """
    return elements * prod(places)


def of_product(output: Sequence[int], summed: int) -> int:
    """Return the multiply-adds of a matrix product; `summed` is the length of the axis that it sums over."""
    return prod(output) * summed


def _multiply_adds(graph: Graph, node: Node, known: dict[str, Shape]) -> int:
    if isinstance(node.operation, Attention):
        query, key, value = (known[name] for name in node.inputs)
        scores = (query[0], key[0])
        return of_product(scores, query[1]) + of_product((query[0], value[1]), key[0])
    if node.kernel is None:
        return 0
    places = node.inputs[0] if isinstance(node.operation, Conv2DTranspose) else node.name
    return of_kernel(graph.weights[node.kernel].size, known[places][:-1])
