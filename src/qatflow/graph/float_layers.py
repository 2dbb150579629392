"""Layers that have no int8 form."""

from collections.abc import Sequence

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.operations import FLOAT_ONLY


def float_layers(graph: Graph) -> dict[str, str]:
    """Return the kind of each operation that has no int8 form, by node name; the final softmax is not counted."""
    last = head_of(graph).activation
    return {
        node.name: type(node.operation).__name__
        for node in graph.nodes
        if isinstance(node.operation, FLOAT_ONLY) and node.name != last
    }


def check_float_layers(graph: Graph, keep: Sequence[str]) -> None:
    """Raise if layers cannot be quantised and model.keep_in_float does not name them.

    Args:
        graph: the graph.
        keep: model.keep_in_float: a layer whose name contains one of these texts stays in float.

    Raises:
        UserError: lists all such layers with their kinds.
    """
    unnamed = {name: kind for name, kind in float_layers(graph).items() if not any(text in name for text in keep)}
    if unnamed:
        listed = ", ".join(f"{name} ({kind})" for name, kind in unnamed.items())
        raise UserError(
            f"these layers cannot be quantised: {listed}. Name them in model.keep_in_float to run them in float on "
            "the device, or replace them"
        )


def check_names(graph: Graph, keep: Sequence[str]) -> None:
    """Raise if no layer's name contains one of the texts, which would then keep nothing in float.

    Args:
        graph: the graph.
        keep: model.keep_in_float.

    Raises:
        UserError: names the text and some of the layers.
    """
    for text in keep:
        if not any(text in node.name for node in graph.nodes):
            names = ", ".join(node.name for node in graph.nodes[:8])
            raise UserError(f"model.keep_in_float: no layer's name contains '{text}'; the layers are {names}, …")
