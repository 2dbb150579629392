"""How passes change a graph: graphs are never changed in place."""

from dataclasses import replace

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Operation


def absorb(graph: Graph, absorbed: Node, into: Node, operation: Operation | None = None) -> Graph:
    """Return the graph without `absorbed`, whose tensor `into` computes instead.

    The scale of the absorbed tensor becomes that of `into`; outputs and aliases follow.

    Args:
        graph: the graph.
        absorbed: the node to remove; its only input is `into`.
        into: the node that takes its place.
        operation: the new operation of `into`; None keeps the old one.
    """
    name = into.name

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if n == absorbed.name else n for n in names)

    nodes = [
        replace(n, inputs=renamed(n.inputs), operation=operation if operation and n.name == name else n.operation)
        for n in graph.nodes
        if n.name != absorbed.name
    ]
    scales = dict(graph.activation_scales)
    if absorbed.name in scales:
        scales[name] = scales.pop(absorbed.name)
    aliases = {alias: name if n == absorbed.name else n for alias, n in graph.aliases.items()}
    changed = replace(graph, activation_scales=scales, aliases=aliases)
    return changed.with_nodes(nodes, outputs=renamed(graph.outputs))


def only_consumer(graph: Graph, node: Node) -> Node | None:
    """Return the one node that reads `node`; None when there are more, or when it is an output of the graph."""
    consumers = graph.consumers(node.name)
    return consumers[0] if len(consumers) == 1 and node.name not in graph.outputs else None
