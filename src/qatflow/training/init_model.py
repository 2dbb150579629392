"""compressor.init_model: the graph that training begins with, in place of the float weights."""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.kinds import Shape
from qatflow.graph.shapes import shapes
from qatflow.graph.store import load


def initial_graph(folder: Path, pretrained: Graph) -> Graph:
    """Return the graph in a folder as a float one: integers of a quantised one become the real values they stand for.

    Args:
        folder: with `model` and `weights`, as `trained/` has them.
        pretrained: the float model, which takes the same pictures and tells the same classes.

    Raises:
        UserError: the folder holds no graph, or one of other pictures or classes.
    """
    graph = load(folder)
    found, wanted = _ends(graph), _ends(pretrained)
    if found != wanted:
        raise UserError(
            f"compressor.init_model: {folder}: goes from {_told(found[0])} to {_told(found[1])}, the float model from "
            f"{_told(wanted[0])} to {_told(wanted[1])}: name a network that was made of the same model, for the "
            "same data"
        )
    return graph.in_real_values()


def _ends(graph: Graph) -> tuple[list[Shape], list[Shape]]:
    known = shapes(graph)
    inputs = [known[node.name] for node in graph.nodes if not node.inputs]
    return inputs, [known[name] for name in graph.outputs]


def _told(found: list[Shape]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in found)
