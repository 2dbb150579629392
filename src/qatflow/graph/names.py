"""Names without collisions, for nodes of a graph and for the layers of the Keras model that is trained."""

from collections.abc import Container, Sequence

from qatflow.graph.graph import Graph

LAST_LAYER = "logits_in_float32"
"""Name of the layer that the training model adds behind the graph's last node."""


def free_name(name: str, taken: Container[str]) -> str:
    """Return `name`, or if taken, `name_2`, `name_3`, …: the first that is free."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names without repetitions for a message: the first of them, and how many more there are."""
    names = list(dict.fromkeys(names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def layer_names(graph: Graph) -> dict[str, str]:
    """Return the name of each node's Keras layer, by the node's name.

    Keras allows no `/` in a name, so it becomes `_`, with a number where that is another node's name. Nodes whose name
    has no `/` come first and keep it. The names of the layers that quantisers add (`around`) do not collide either.
    """
    names: dict[str, str] = {}
    taken = {LAST_LAYER}
    for node in sorted(graph.nodes, key=lambda node: "/" in node.name):
        plain = node.name.replace("/", "_")
        name, number = plain, 1
        while taken & around(name):
            number += 1
            name = f"{plain}_{number}"
        names[node.name] = name
        taken |= around(name)
    return names


def tensor_layer(name: str) -> str:
    """Return the name of the layer that quantises the output of the layer `name`."""
    return f"{name}_tensor"


def around(name: str) -> set[str]:
    """Return the names that belong to a layer: its own, that of its tensor's layer, and those of tfmot's wrappers."""
    own = {name, tensor_layer(name)}
    return own | {f"quant_{layer}" for layer in own}
