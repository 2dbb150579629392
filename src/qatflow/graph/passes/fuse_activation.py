"""ReLU and ReLU6 fused into the operation before them: the kernel clips its own output."""

from dataclasses import replace

from qatflow.graph.edit import absorb, only_consumer
from qatflow.graph.graph import Graph
from qatflow.graph.operations import CLIPPING, Activation, Relu, Relu6

NAMES: dict[type, Activation] = {Relu: "relu", Relu6: "relu6"}


def apply(graph: Graph) -> tuple[Graph, list[str]]:
    """Return the graph with fused activations, and what was done."""
    done = []
    for node in graph.nodes:
        operation = node.operation
        if not isinstance(operation, CLIPPING) or getattr(operation, "activation", None) is not None:
            continue
        follower = only_consumer(graph, node)
        # a tensor with a scale of its own was rounded before the activation in training; fused, it would not be
        if follower is not None and type(follower.operation) in NAMES and node.name not in graph.activation_scales:
            fused = replace(operation, activation=NAMES[type(follower.operation)])  # type: ignore[arg-type]
            graph = absorb(graph, follower, graph.node(node.name), fused)
            done.append(f"{follower.name} fused into {node.name}")
    return graph, done
