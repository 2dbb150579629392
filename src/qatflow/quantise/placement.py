"""Which tensors of a graph are quantised.

Each tensor that an int8 kernel will read or write gets one quantiser, behind the operation that makes it and behind
what the device fuses into that operation (batch-norm, then ReLU or ReLU6). PaddleSlim quantises only what enters a
conv, depthwise conv or dense layer; the sums, means and logits between them would then run in float on the device.
"""

from collections.abc import Collection, Set
from dataclasses import dataclass

from qatflow.config.recipe.recipe import QuantizationStrategySection
from qatflow.graph.graph import Graph, Node
from qatflow.graph.head import head_of
from qatflow.graph.kinds import QUANTISED_KERNEL
from qatflow.graph.operations import (
    CLIPPING,
    FIXED_GRID,
    FLOAT_ONLY,
    FUSED,
    PASS_THROUGH,
    REMOVED,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Input,
    Relu,
    Relu6,
)

OPERATION_TYPES: dict[str, type] = {"conv2d": Conv2D, "depthwise_conv2d": DepthwiseConv2D, "mul": Dense}
SMALLEST = 1e-8
"""Least max|x| (or greatest less least value) that a scale is made of: a tensor of zeros still needs a grid."""


@dataclass(frozen=True)
class QuantSettings:
    """What a QuantizationStrategy asks for; names and values are those of the compress YAML."""

    weight_bits: int
    activation_bits: int
    weight_quantize_type: str
    activation_quantize_type: str
    quantizable_op_type: tuple[str, ...] = tuple(OPERATION_TYPES)
    skip_pattern: tuple[str, ...] = ()

    @staticmethod
    def default() -> "QuantSettings":
        """Return the settings of a strategy that says nothing."""
        return QuantSettings.of(QuantizationStrategySection.model_validate({"class": "QuantizationStrategy"}))

    @staticmethod
    def of(strategy: QuantizationStrategySection) -> "QuantSettings":
        """Return the settings of a strategy of the YAML."""
        return QuantSettings(
            strategy.weight_bits,
            strategy.activation_bits,
            strategy.weight_quantize_type,
            strategy.activation_quantize_type,
            tuple(strategy.quantizable_op_type),
            tuple(strategy.skip_pattern),
        )


def quantised_kernels(
    graph: Graph, types: Collection[str] = tuple(OPERATION_TYPES), skip: Collection[str] = ()
) -> dict[str, str]:
    """Return the weight name of each quantised kernel, by its node's name.

    Args:
        graph: the float graph.
        types: kinds of layers that are quantised, by PaddleSlim's names for them.
        skip: layers whose name contains one of these texts stay in float.
    """
    wanted = tuple(OPERATION_TYPES[name] for name in types)
    return {
        node.name: node.kernel
        for node in graph.nodes
        if node.kernel is not None and isinstance(node.operation, wanted) and not _named(node.name, skip)
    }


def quantised_tensors(graph: Graph, kernels: Collection[str], skip: Collection[str] = ()) -> set[str]:
    """Return the names of the nodes whose output tensor is quantised.

    Args:
        graph: the float graph.
        kernels: names of the nodes whose kernels are quantised.
        skip: layers whose name contains one of these texts stay in float, with a kernel or without.
    """
    runs = _Runs(graph, frozenset(kernels), tuple(skip), head_of(graph).activation)
    return {node.name for node in graph.nodes if runs.ends_a_group(node) and (runs.int8(node) or runs.feeds_int8(node))}


def shared_scales(graph: Graph, tensors: Set[str]) -> dict[str, str]:
    """Return, by the tensor that has no scale of its own, the concatenation that it is a part of and takes that of.

    The int8 kernel of a concatenation copies, so its inputs have the scale of its output. One that nothing else reads
    is written in that scale at once; any other is requantised on the device.

    Args:
        graph: the float graph.
        tensors: names of the nodes whose tensors are quantised.
    """
    found = {}
    for node in graph.nodes:
        consumers = graph.consumers(node.name)
        alone = len(consumers) == 1 and node.name not in graph.outputs and type(node.operation) not in FIXED_GRID
        if {node.name, consumers[0].name if alone else ""} <= tensors and isinstance(consumers[0].operation, Concat):
            found[node.name] = consumers[0].name
    return {name: _last(found, name) for name in found}


def nodes_in_float(graph: Graph, skip: Collection[str]) -> frozenset[str]:
    """Return the names of the nodes without a kernel that run in float, whatever is quantised around them.

    Args:
        graph: the float graph.
        skip: texts in the names of layers that stay in float. What only moves values goes with its neighbours.
    """
    last = head_of(graph).activation
    return frozenset(
        node.name
        for node in graph.nodes
        if not isinstance(node.operation, (Input, *PASS_THROUGH))
        and (
            isinstance(node.operation, FLOAT_ONLY)
            or node.name == last
            or (node.kernel is None and _named(node.name, skip))
        )
    )


def _named(name: str, patterns: Collection[str]) -> bool:
    return any(text in name for text in patterns)


def _last(links: dict[str, str], name: str) -> str:
    while name in links:
        name = links[name]
    return name


@dataclass(frozen=True)
class _Runs:
    """What runs in int8.

    Attributes:
        graph: the float graph.
        kernels: names of the nodes whose kernels are quantised.
        skip: texts in the names of what stays in float.
        last: name of the last softmax or of the last sigmoids, which stay in float; None where there are none.
    """

    graph: Graph
    kernels: frozenset[str]
    skip: tuple[str, ...]
    last: str | None

    def ends_a_group(self, node: Node) -> bool:
        """Return whether the node's tensor is what the device sees, and not folded or fused into what follows."""
        if isinstance(node.operation, PASS_THROUGH):
            return False
        readers = self.readers(node)
        if len(readers) != 1:
            return True
        follower = readers[0].operation
        if isinstance(follower, BatchNorm):
            return type(node.operation) not in QUANTISED_KERNEL
        if isinstance(follower, Relu | Relu6):
            fused = isinstance(node.operation, (BatchNorm, *CLIPPING))
            return not fused or _named(readers[0].name, self.skip)
        return True

    def int8(self, node: Node) -> bool:
        """Return whether the group that ends with the node runs in int8: all do but what was left in float."""
        first = node
        while isinstance(first.operation, (*FUSED, *REMOVED)):
            if isinstance(first.operation, Relu | Relu6) and _named(first.name, self.skip):
                return False
            first = self.graph.node(first.inputs[0])
        if first.name == self.last or _named(first.name, self.skip) or isinstance(first.operation, FLOAT_ONLY):
            return False
        return first.name in self.kernels or type(first.operation) not in (*QUANTISED_KERNEL, Input)

    def feeds_int8(self, node: Node) -> bool:
        """Return whether the tensor is read, through operations that pass it on, by one that runs in int8."""
        return any(
            self.feeds_int8(consumer) if isinstance(consumer.operation, PASS_THROUGH) else self.int8(consumer)
            for consumer in self.graph.consumers(node.name)
        )

    def readers(self, node: Node) -> list[Node]:
        """Return the nodes that read the node's tensor on the device."""
        found = []
        for consumer in self.graph.consumers(node.name):
            found += self.readers(consumer) if isinstance(consumer.operation, REMOVED) else [consumer]
        return found
