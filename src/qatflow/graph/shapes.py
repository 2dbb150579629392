"""The shape of each tensor of a graph, for one picture, and the check that its parts fit together."""

from collections.abc import Sequence
from math import prod

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import DoesNotFitError, Kernel, Operand, Shape, kind_of
from qatflow.graph.operations import LARGEST


def shapes(graph: Graph) -> dict[str, Shape]:
    """Return the shape of each node's tensor, without the batch, by the node's name.

    Raises:
        UserError: a node's inputs do not fit together, or a weight does not fit the tensor it is applied to; names
            the first such node.
    """
    try:
        return fitting(graph)
    except DoesNotFitError as error:
        raise UserError(f"the graph {error}; make it again") from error


def fitting(graph: Graph) -> dict[str, Shape]:
    """Return the same as `shapes`, but raise DoesNotFitError for a graph that does not fit together."""
    known: dict[str, Shape] = {}
    for node in graph.nodes:
        try:
            known[node.name] = _shape(node, graph, known)
        except DoesNotFitError as error:
            raise DoesNotFitError(f"does not fit together at '{node.name}': {error}") from error
    return known


def _shape(node: Node, graph: Graph, known: dict[str, Shape]) -> Shape:
    kind, sources = kind_of(node.operation), [known[name] for name in node.inputs]
    if kind.operand is not None:
        sources += _operand(node, kind.operand, graph, sources)
    kernel = () if kind.kernel is None else _kernel(node, kind.kernel, graph, sources[0])
    output = kind.shape(node.operation, sources, kernel)
    if not output or min(output) < 1:
        raise DoesNotFitError(f"its output has the shape {output}, which holds no value")
    if prod(output) > LARGEST:
        raise DoesNotFitError(f"its output has the shape {output}, which holds more than {LARGEST} values")
    for role in (*kind.vectors, *kind.may_have):
        values = graph.weights.get(node.weight(role))
        if values is not None and values.shape != output[-1:]:
            raise DoesNotFitError(f"its {role} has the shape {values.shape}, but its output has {output[-1]} channels")
        if values is None and role in kind.vectors:
            raise DoesNotFitError(f"it has no {role}")
    return output


def _operand(node: Node, operand: Operand, graph: Graph, sources: Sequence[Shape]) -> list[Shape]:
    """Return the shape of the weight in the place of a second tensor, or an empty list where two tensors are read."""
    values = graph.weights.get(node.weight(operand.role))
    if values is None and len(sources) == 1:
        raise DoesNotFitError(f"it has one input and no {operand.role}")
    if values is None:
        return []
    if len(sources) > 1:
        raise DoesNotFitError(f"it has two inputs and a {operand.role}")
    if not 1 <= values.ndim <= len(sources[0]):
        raise DoesNotFitError(f"its {operand.role} has the shape {values.shape}, but its input has {sources[0]}")
    return [values.shape]


def _kernel(node: Node, layout: Kernel, graph: Graph, source: Shape) -> Shape:
    values = graph.weights.get(node.weight(layout.role))
    if values is None:
        raise DoesNotFitError(f"it has no {layout.role}")
    shape = values.shape
    if len(shape) != layout.rank or 0 in shape:
        raise DoesNotFitError(f"its kernel has the shape {shape}, but needs {layout.rank} axes")
    reads = shape[layout.reads] * node.groups
    if reads != source[-1]:
        raise DoesNotFitError(f"its kernel {shape} reads {reads} channels, but '{node.inputs[0]}' has {source[-1]}")
    return shape
