"""Whether the weights of a graph fit its tensors."""

from math import prod

from qatflow.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Add, Concat, Conv2D, Dense, DepthwiseConv2D, Multiply, Reshape
from qatflow.graph.shapes import Shape, shapes

VECTORS = ("bias", "gamma", "beta", "moving_mean", "moving_variance")
"""Roles of the weights that have one value a channel of their node's tensor."""


def check_consistent(graph: Graph) -> None:
    """Raise where a weight does not fit the tensor it is applied to, or a node's inputs do not fit one another.

    Raises:
        UserError: the first such node, with the shapes.
    """
    known = shapes(graph)
    for node in graph.nodes:
        problem = _problem(graph, node, known)
        if problem:
            raise UserError(f"the graph does not fit together at '{node.name}': {problem}; make it again")


def _problem(graph: Graph, node: Node, known: dict[str, Shape]) -> str:
    made, sources = known[node.name], [known[name] for name in node.inputs]
    if node.kernel is not None:
        shape = graph.weights[node.kernel].shape
        reads = shape[0] if isinstance(node.operation, Dense) else shape[2]
        if reads != sources[0][-1]:
            return f"its kernel {shape} reads {reads} channels, and '{node.inputs[0]}' makes {sources[0][-1]}"
    for role in VECTORS:
        values = graph.weights.get(node.weight(role))
        if values is not None and values.shape != made[-1:]:
            return f"its {role} has the shape {values.shape}, and it makes {made[-1]} channels"
    match node.operation:
        case Reshape() if prod(made) != prod(sources[0]):
            return f"{sources[0]} cannot take the shape {made}"
        case Add() if len(set(sources)) != 1:
            return f"its inputs have the shapes {sources}"
        case Multiply() if not all(_fits(shape, made) for shape in sources):
            return f"its inputs have the shapes {sources}"
        case Concat() if len({shape[:-1] for shape in sources}) != 1:
            return f"its inputs have the shapes {sources}"
        case Conv2D() | DepthwiseConv2D() if min(made) < 1:
            return f"it makes {made}"
    return ""


def _fits(shape: Shape, made: Shape) -> bool:
    return all(size in (1, out) for size, out in zip(shape, made, strict=True))
