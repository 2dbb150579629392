"""compressor.init_model: the graph that training starts from, in place of the float weights."""

from dataclasses import replace
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.kinds import Shape
from qatflow.graph.shapes import shapes
from qatflow.graph.store import load


def initial_graph(folder: Path, pretrained: Graph) -> Graph:
    """Return the graph in a folder, in float: integers of a quantised graph become the real values they stand for.

    The layers that are frozen are those of the float model.

    Args:
        folder: with `model` and `weights`, as `trained/` has them.
        pretrained: the float model, for the same pictures and classes.

    Raises:
        UserError: the folder holds no graph, or one for other pictures or classes.
    """
    graph = load(folder)
    (inputs, outputs), (float_inputs, float_outputs) = _ends(graph), _ends(pretrained)
    if (inputs, outputs) != (float_inputs, float_outputs):
        raise UserError(
            f"compressor.init_model: {folder}: goes from {_text(inputs)} to {_text(outputs)}, the float model from "
            f"{_text(float_inputs)} to {_text(float_outputs)}: name a network that was made from the same model, for "
            "the same data"
        )
    names = {node.name for node in graph.nodes}
    frozen, fixed = pretrained.frozen & names, pretrained.moving_statistics & names
    return replace(graph.in_real_values(), frozen=frozen, moving_statistics=fixed)


def _ends(graph: Graph) -> tuple[list[Shape], list[Shape]]:
    """Return the shapes of a graph's inputs and outputs."""
    known = shapes(graph)
    inputs = [known[node.name] for node in graph.nodes if not node.inputs]
    return inputs, [known[name] for name in graph.outputs]


def _text(tensors: list[Shape]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in tensors)
