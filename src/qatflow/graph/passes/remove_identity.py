"""Identities and dropout do nothing once training is over: they go."""

from qatflow.graph.edit import absorb
from qatflow.graph.graph import Graph
from qatflow.graph.operations import REMOVED


def apply(graph: Graph) -> tuple[Graph, list[str]]:
    """Return the graph without them, and what was done."""
    done = []
    for node in graph.nodes:
        if isinstance(node.operation, REMOVED):
            source = graph.node(graph.node(node.name).inputs[0])
            graph = absorb(graph, node, source)
            done.append(f"{node.name} removed")
    return graph, done
