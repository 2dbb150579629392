"""The passes that make a graph smaller without changing what it computes, in the order in which they run."""

from collections.abc import Callable

from qatflow.graph.graph import Graph
from qatflow.graph.passes import fold_batch_norm, fold_padding, fuse_activation, remove_identity

Pass = Callable[[Graph], tuple[Graph, list[str]]]

PASSES: dict[str, Pass] = {
    "remove_identity": remove_identity.apply,
    "fold_padding": fold_padding.apply,
    "fold_batch_norm": fold_batch_norm.apply,
    "fuse_activation": fuse_activation.apply,
}


def run_all(graph: Graph) -> tuple[Graph, dict[str, list[str]]]:
    """Run every pass; return the graph and, by pass, a line for each thing it did."""
    done = {}
    for name, apply in PASSES.items():
        graph, done[name] = apply(graph)
    return graph, done
