"""The width of each kernel's integers, from the compress YAML's weight_bits."""

from collections.abc import Mapping

from qatflow.config.recipe.widths import DEVICE, default_width, patterns
from qatflow.graph.graph import Graph
from qatflow.graph.kernels import by_pattern


def kernel_bits(graph: Graph, kernels: Mapping[str, str], widths: int | Mapping[str, int]) -> dict[str, int]:
    """Return the width of each quantised kernel's integers, by its node's name.

    Where all other layers have fewer than 8 bits, the first and the last have 8, unless a pattern matches them.

    Args:
        graph: the float graph.
        kernels: the weight name of each quantised kernel, by its node's name.
        widths: the YAML's weight_bits: a number, or a mapping of patterns, and `default`, to numbers.

    Raises:
        UserError: a pattern matches no quantised kernel, or two with different widths match the same one.
    """
    default = default_width(widths)
    named = by_pattern(graph, list(kernels.values()), patterns(widths), "weight_bits")
    at_ends = end_layers(graph) if default < DEVICE else set()
    return {name: named.get(kernel, DEVICE if name in at_ends else default) for name, kernel in kernels.items()}


def end_layers(graph: Graph) -> set[str]:
    """Return the names of the nodes with a kernel that no other such node leads to, or that lead to no other."""
    led_to: set[str] = set()  # by a node with a kernel
    leading: set[str] = set()  # to a node with a kernel
    with_kernel = {node.name for node in graph.nodes if node.kernel is not None}
    for node in graph.nodes:
        if (with_kernel | led_to) & set(node.inputs):
            led_to.add(node.name)
    for node in reversed(graph.nodes):
        if node.name in with_kernel | leading:
            leading.update(node.inputs)
    return (with_kernel - led_to) | (with_kernel - leading)
