"""Recognises hard-swish and hard-sigmoid where a model writes them with sums, ReLU6 and products, as MobileNetV3 does.

h(x) = relu6(x + 3) / 6 becomes a hard-sigmoid, and x · h(x) a hard-swish (Howard et al. 2019, arXiv:1905.02244, §5.2),
which TensorFlow Lite computes in one int8 operator instead of three that each round.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from qatflow.graph.edit import only_consumer
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Add, HardSigmoid, HardSwish, Multiply, Operation, Relu6

SIXTH = HardSigmoid(1 / 6, 0.5)
"""relu6(x + 3) / 6."""


def recognised(graph: Graph) -> Graph:
    """Return the graph with one node for each hard-sigmoid and hard-swish; it has the name of the last of theirs.

    Only tensors that nothing else reads are replaced.
    """
    for matches in (_hard_sigmoids, _products_of_six, _hard_swishes):
        for name in [node.name for node in graph.nodes]:
            if any(node.name == name for node in graph.nodes):
                graph = _replaced(graph, graph.node(name), matches)
    return graph


Match = Callable[[Graph, Node], Iterator[tuple[Operation, str, list[Node]]]]
"""Yields what a node is: the operation, the tensor that it reads, and the nodes that are no longer needed."""


def _replaced(graph: Graph, node: Node, matches: Match) -> Graph:
    for operation, source, gone in matches(graph, node):
        names = {other.name for other in gone}
        changed = replace(node, operation=operation, inputs=(source,))
        nodes = [changed if other.name == node.name else other for other in graph.nodes if other.name not in names]
        own = graph.with_nodes(nodes)
        weights = {name: values for name, values in own.weights.items() if name != node.operand}
        return replace(own, weights=weights)
    return graph


def _hard_sigmoids(graph: Graph, node: Node) -> Iterator[tuple[Operation, str, list[Node]]]:
    """relu6(x + 3) · 1/6."""
    if not _has_constant(graph, node, Multiply, 1 / 6):
        return
    for six, shifted in _six(graph, graph.node(node.inputs[0])):
        yield SIXTH, shifted.inputs[0], [six, shifted]


def _products_of_six(graph: Graph, node: Node) -> Iterator[tuple[Operation, str, list[Node]]]:
    """(x · relu6(x + 3)) · 1/6."""
    if not _has_constant(graph, node, Multiply, 1 / 6):
        return
    product = graph.node(node.inputs[0])
    if type(product.operation) is Multiply and only_consumer(graph, product) is not None:
        for x, other in _orders(product):
            for six, shifted in _six(graph, graph.node(other)):
                if shifted.inputs == (x,):
                    yield HardSwish(), x, [product, six, shifted]


def _hard_swishes(graph: Graph, node: Node) -> Iterator[tuple[Operation, str, list[Node]]]:
    """x · hard-sigmoid(x)."""
    if type(node.operation) is Multiply:
        for x, other in _orders(node):
            gate = graph.node(other)
            if gate.operation == SIXTH and gate.inputs == (x,) and only_consumer(graph, gate) is not None:
                yield HardSwish(), x, [gate]


def _six(graph: Graph, six: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the two nodes of relu6(x + 3) if `six` is its last, and nothing else reads either."""
    if type(six.operation) is Relu6 and only_consumer(graph, six) is not None:
        shifted = graph.node(six.inputs[0])
        if _has_constant(graph, shifted, Add, 3.0) and only_consumer(graph, shifted) is not None:
            yield six, shifted


def _orders(node: Node) -> list[tuple[str, str]]:
    """Return the two inputs of a node in both orders; nothing for a node with one."""
    return [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] if len(node.inputs) == 2 else []


def _has_constant(graph: Graph, node: Node, kind: type, value: float) -> bool:
    """Return whether a node combines its only input with one number, as near as float32 has it."""
    if type(node.operation) is not kind or getattr(node.operation, "activation", None) is not None:
        return False
    constant = graph.weights.get(node.operand or "")
    return constant is not None and constant.size == 1 and bool(np.isclose(constant.item(), value, rtol=3e-7, atol=0))
