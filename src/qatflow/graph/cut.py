"""The part of a graph between named tensors: PaddleSlim's save_in_nodes and save_out_nodes."""

from collections.abc import Iterable
from dataclasses import replace

from qatflow.base.errors import UserError
from qatflow.graph.edit import only_consumer
from qatflow.graph.families import FUSED
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Input
from qatflow.graph.shapes import shapes


def cut(graph: Graph, inputs: Iterable[str] | None, outputs: Iterable[str] | None) -> Graph:
    """Return the part of the graph that leads from `inputs` to `outputs`.

    Args:
        graph: the graph to cut; tensors that remain keep their scales.
        inputs: names or aliases of the tensors to begin at; one that the graph computes becomes an input of that
            shape. None keeps the inputs.
        outputs: names or aliases of the tensors to end at; None keeps the outputs.

    Raises:
        UserError: a name is unknown (the nearest are listed), an input leads to no output, the outputs need an input
            that is not named, or a quantised layer would end at a tensor that has no scale of its own.
    """
    ends = graph.outputs if outputs is None else tuple(graph.node(name).name for name in outputs)
    own = {node.name for node in graph.nodes if not node.inputs}
    begins = own if inputs is None else {graph.node(name).name for name in inputs}
    needed = _needed(graph, begins, ends)
    if inputs is not None:
        for name in sorted((needed & own) - begins):
            raise UserError(f"save_in_nodes: the outputs {list(ends)} need the input '{name}' too; add it")
        for name in sorted(begins - needed):
            raise UserError(f"save_in_nodes: '{name}' does not lead to the outputs {list(ends)}; remove it")
    for name in ends:
        _check_scale(graph, graph.node(name))
    known, computed = shapes(graph), begins - own
    kept = [
        Node(node.name, Input(known[node.name])) if node.name in computed else node
        for node in graph.nodes
        if node.name in needed
    ]
    left = {key: value for key, value in graph.weights.items() if key.rsplit("/", 1)[0] not in computed}
    scales = {key: value for key, value in graph.weight_scales.items() if key in left}
    return replace(graph, weights=left, weight_scales=scales).with_nodes(kept, outputs=ends)


def _check_scale(graph: Graph, end: Node) -> None:
    maker = end
    while isinstance(maker.operation, FUSED) and maker.name not in graph.activation_scales:
        maker = graph.node(maker.inputs[0])
    if maker.kernel not in graph.weight_scales or maker.name in graph.activation_scales:
        return
    ahead: Node | None = end
    while ahead is not None and ahead.name not in graph.activation_scales:
        ahead = only_consumer(graph, ahead)
    raise UserError(
        f"save_out_nodes: '{end.name}' has no scale: the device computes it together with what follows"
        + (f"; name '{ahead.name}'" if ahead is not None else "")
    )


def _needed(graph: Graph, begins: set[str], ends: Iterable[str]) -> set[str]:
    """Return the nodes on all paths backwards from `ends`, up to and including `begins`."""
    needed: set[str] = set()
    pending = list(ends)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            if name not in begins:
                pending.extend(graph.node(name).inputs)
    return needed
