"""Layers that have no int8 form."""

from collections.abc import Sequence
from typing import Literal

from qatflow.base.errors import UserError
from qatflow.graph.families import FLOAT_ONLY, PASS_THROUGH, not_quantised, with_kinds
from qatflow.graph.graph import Graph
from qatflow.graph.head import head_of
from qatflow.graph.layer_texts import is_named, no_layer
from qatflow.graph.operations import Input, Rescale


def float_layers(graph: Graph) -> dict[str, str]:
    """Return the kind of each operation that has no int8 form, by node name; the final softmax is not counted."""
    last = head_of(graph).activation
    return {
        node.name: type(node.operation).__name__
        for node in graph.nodes
        if isinstance(node.operation, FLOAT_ONLY) and node.name != last
    }


def rescaled_pictures(graph: Graph) -> frozenset[str]:
    """Return the names of the `Rescale` nodes that read the pictures themselves, moved, resized or rescaled at most."""
    pictures: set[str] = set()
    for node in graph.nodes:
        if isinstance(node.operation, (Input, Rescale, *PASS_THROUGH)) and pictures.issuperset(node.inputs):
            pictures.add(node.name)
    return frozenset(name for name in pictures if isinstance(graph.node(name).operation, Rescale))


def check_float_layers(graph: Graph, keep: Literal["auto"] | Sequence[str], skip: Sequence[str] = ()) -> str:
    """Return a sentence that lists the layers without an int8 form, or raise if they are not to run in float.

    Args:
        graph: the graph.
        keep: model.keep_in_float: layers that one of these texts means (`is_named`) stay in float; `auto`: all layers
            that have no int8 form.
        skip: the compress YAML's skip_pattern: texts of the same meaning.

    Returns:
        The sentence; empty if all layers have an int8 form.

    Raises:
        UserError: such layers are not named; lists all of them with their kinds.
    """
    every = float_layers(graph)
    texts = ("",) if keep == "auto" else (*keep, *skip)
    unnamed = {name: kind for name, kind in every.items() if not is_named(name, texts)}
    if unnamed:
        raise UserError(not_quantised(unnamed))
    return f"these layers have no int8 form and run in float, also on the device: {with_kinds(every)}" if every else ""


def check_names(graph: Graph, keep: Sequence[str]) -> None:
    """Raise if one of the texts means no layer, and would keep nothing in float.

    Args:
        graph: the graph.
        keep: model.keep_in_float, a list.

    Raises:
        UserError: names the text and some of the layers.
    """
    for text in keep:
        if not any(is_named(node.name, [text]) for node in graph.nodes):
            names = ", ".join(node.name for node in graph.nodes[:8])
            raise UserError(f"model.keep_in_float: {no_layer(text)}; the layers are {names}, …")
