"""Inserts a 1 × 1 depthwise convolution that does nothing before each batch-norm that cannot be folded otherwise.

Where batch-norm follows a sum, a concatenation, a pool or a layer with several readers (ResNetV2, DenseNet), it cannot
be folded into the operation before it. Folded into the inserted identity, it runs in int8 as a depthwise convolution.
"""

from dataclasses import replace

import numpy as np

from qatflow.graph.edit import only_consumer
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import QUANTISED_KERNEL
from qatflow.graph.names import free_name
from qatflow.graph.operations import BatchNorm, DepthwiseConv2D, Operation, Reshape
from qatflow.graph.shapes import shapes


def carried(graph: Graph) -> Graph:
    """Return the graph in which each batch-norm follows a kernel into which it can be folded."""
    known = shapes(graph)
    nodes: list[Node] = []
    weights = dict(graph.weights)
    renamed: dict[str, str] = {}
    taken = set(known)
    frozen = set(graph.frozen)

    def added(name: str, operation: Operation, sources: tuple[str, ...]) -> str:
        nodes.append(Node(free_name(name, taken), operation, sources))
        taken.add(nodes[-1].name)
        return nodes[-1].name

    for node in graph.nodes:
        sources = tuple(renamed.get(name, name) for name in node.inputs)
        if not isinstance(node.operation, BatchNorm) or _foldable(graph, graph.node(node.inputs[0])):
            nodes.append(Node(node.name, node.operation, sources))
            continue
        channels, flat = known[node.name][-1], len(known[node.name]) == 1
        if flat:
            sources = (added(f"{node.name}/picture", Reshape((1, 1, channels)), sources),)
        identity = added(f"{node.name}/identity", DepthwiseConv2D((1, 1), "valid"), sources)
        weights[f"{identity}/depthwise_kernel"] = np.ones((1, 1, channels, 1), np.float32)
        if node.name in graph.frozen:
            frozen.add(identity)
        nodes.append(Node(node.name, node.operation, (identity,)))
        if flat:
            renamed[node.name] = added(f"{node.name}/flat", Reshape((channels,)), (node.name,))
    outputs = tuple(renamed.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs, weights=weights, frozen=frozenset(frozen))


def _foldable(graph: Graph, source: Node) -> bool:
    alone = type(source.operation) in QUANTISED_KERNEL and only_consumer(graph, source) is not None
    return alone and source.name not in graph.activation_scales  # else it is rounded before the batch-norm
