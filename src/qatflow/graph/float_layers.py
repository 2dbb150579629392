"""Layers that have no int8 form."""

from collections.abc import Sequence

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.operations import FLOAT_ONLY


def float_layers(graph: Graph) -> dict[str, str]:
    """Return the kind of each operation that has no int8 form, by its node's name; a last softmax is not counted."""
    last = head_of(graph).activation
    return {
        node.name: type(node.operation).__name__
        for node in graph.nodes
        if isinstance(node.operation, FLOAT_ONLY) and node.name != last
    }


def check_float_layers(graph: Graph, keep: Sequence[str]) -> None:
    """Raise where layers cannot be quantised and are not named to stay in float.

    Raises:
        UserError: all such layers are listed with their kinds.
    """
    found = {name: kind for name, kind in float_layers(graph).items() if not any(text in name for text in keep)}
    if found:
        listed = ", ".join(f"{name} ({kind})" for name, kind in found.items())
        raise UserError(
            f"these layers cannot be quantised: {listed}. Name them in model.keep_in_float, and they run in float on "
            "the device, or replace them"
        )


def check_names(graph: Graph, keep: Sequence[str]) -> None:
    """Raise where one of the texts is in no layer's name: it would keep nothing in float.

    Raises:
        UserError: the text, and some of the names there are.
    """
    for text in keep:
        if not any(text in node.name for node in graph.nodes):
            names = ", ".join(node.name for node in graph.nodes[:8])
            raise UserError(f"model.keep_in_float: no layer's name contains '{text}'; the layers are {names}, …")
