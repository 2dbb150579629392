"""Which tensors of a graph are quantised.

Each tensor that an int8 kernel will read or write gets one quantiser, behind the operation that makes it and behind
what the device fuses into that operation (batch-norm, then ReLU or ReLU6). PaddleSlim quantises only what enters a
conv, depthwise conv or dense layer; the sums, means and logits between them would then run in float on the device.
"""

from collections.abc import Collection

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    PASS_THROUGH,
    QUANTISED_KERNEL,
    Add,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Input,
    Relu,
    Relu6,
    Softmax,
)

OPERATION_TYPES: dict[str, type] = {"conv2d": Conv2D, "depthwise_conv2d": DepthwiseConv2D, "mul": Dense}


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
        if node.kernel is not None
        and isinstance(node.operation, wanted)
        and not any(text in node.name for text in skip)
    }


def quantised_tensors(graph: Graph, kernels: Collection[str]) -> set[str]:
    """Return the names of the nodes whose output tensor is quantised.

    Args:
        graph: the float graph.
        kernels: names of the nodes whose kernels are quantised.
    """
    return {
        node.name
        for node in graph.nodes
        if _ends_a_group(node, graph) and (_runs_int8(node, graph, kernels) or _feeds_int8(node, graph, kernels))
    }


def _ends_a_group(node: Node, graph: Graph) -> bool:
    """Return whether the node's tensor is what the device sees, and not folded or fused into what follows."""
    if isinstance(node.operation, (Softmax, *PASS_THROUGH)):
        return False
    consumers = graph.consumers(node.name)
    if len(consumers) != 1:
        return True
    follower = consumers[0].operation
    if isinstance(follower, BatchNorm):
        return type(node.operation) not in QUANTISED_KERNEL
    if isinstance(follower, Relu | Relu6):
        return not isinstance(node.operation, (BatchNorm, Add, *QUANTISED_KERNEL))
    return True


def _runs_int8(node: Node, graph: Graph, kernels: Collection[str]) -> bool:
    """Return whether the group that ends with the node runs in int8: all do but layers that were left in float."""
    first = node
    while isinstance(first.operation, BatchNorm | Relu | Relu6):
        first = graph.node(first.inputs[0])
    return first.name in kernels or type(first.operation) not in (*QUANTISED_KERNEL, Input)


def _feeds_int8(node: Node, graph: Graph, kernels: Collection[str]) -> bool:
    """Return whether the tensor is read, through operations that pass it on, by one that runs in int8."""
    return any(
        _feeds_int8(consumer, graph, kernels)
        if isinstance(consumer.operation, PASS_THROUGH)
        else not isinstance(consumer.operation, Softmax) and _runs_int8(consumer, graph, kernels)
        for consumer in graph.consumers(node.name)
    )
