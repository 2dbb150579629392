"""The width of each kernel's and each tensor's integers, from the compress YAML's weight_bits and activation_bits."""

from collections.abc import Collection, Mapping

from qatflow.config.recipe.widths import DEVICE, default_width, patterns
from qatflow.graph.families import FUSED, PASS_THROUGH, REMOVED
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kernels import by_pattern, values_by_pattern
from qatflow.graph.operations import PRelu


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


def tensor_bits(graph: Graph, tensors: Collection[str], widths: int | Mapping[str, int]) -> dict[str, int]:
    """Return the width of each quantised tensor's integers, by its node's name.

    A pattern that matches any of the layers that the device computes together, such as a convolution and the ReLU
    behind it, means the tensor at their end.

    Args:
        graph: the float graph.
        tensors: names of the nodes whose tensors are quantised.
        widths: the YAML's activation_bits: a number, or a mapping of patterns, and `default`, to numbers.

    Raises:
        UserError: a pattern matches no layer with a quantised tensor, or two with different widths match the same one.
    """
    default = default_width(widths)
    names = [node.name for node in graph.nodes]
    owners = {node.name: end for node in graph.nodes if (end := _end(graph, node, tensors)) is not None}
    none = "matches layers alone that run in float or have the integers of the layer before them ({}): remove it"
    named = values_by_pattern(names, owners, patterns(widths), "activation_bits", none, "layer")
    return {node.name: named.get(node.name, default) for node in graph.nodes if node.name in tensors}


def operand_bits(graph: Graph, operands: Mapping[str, str], tensors: Mapping[str, int]) -> dict[str, int]:
    """Return the width of each weight that stands in the place of a second tensor: that of the widest tensor beside it.

    Args:
        graph: the float graph.
        operands: the weight's name, by that of its node.
        tensors: width of each quantised tensor, by the name of its node.
    """
    return {name: _operand_bits(graph, graph.node(name), tensors) for name in operands}


def _operand_bits(graph: Graph, node: Node, tensors: Mapping[str, int]) -> int:
    if isinstance(node.operation, PRelu):
        return DEVICE  # LiteRT's int16 kernel reads the slopes as int8
    around = [_source(graph, name, tensors) for name in node.inputs] + [_end(graph, node, tensors)]
    return max((tensors[name] for name in around if name is not None), default=DEVICE)


def _source(graph: Graph, name: str, tensors: Collection[str]) -> str | None:
    while name not in tensors:
        node = graph.node(name)
        if not isinstance(node.operation, PASS_THROUGH):
            return None
        (name,) = node.inputs
    return name


def _end(graph: Graph, node: Node, tensors: Collection[str]) -> str | None:
    """Return the quantised tensor at the end of what the device computes with a node at once; None if there is none."""
    while node.name not in tensors:
        readers = graph.consumers(node.name)
        if len(readers) != 1 or not isinstance(readers[0].operation, (*FUSED, *REMOVED)):
            return None
        (node,) = readers
    return node.name


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
