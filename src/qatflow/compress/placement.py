"""Which tensors of a graph are quantised.

Each tensor that an int8 kernel will read or write gets one quantiser, behind the operation that makes it and behind
what the device fuses into that operation (batch-norm, then ReLU or ReLU6). PaddleSlim quantises only what enters a
conv, depthwise conv or dense layer; the sums, means and logits between them would then run in float on the device.
"""

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    QUANTISED_KERNEL,
    Add,
    AveragePool,
    BatchNorm,
    Dropout,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Softmax,
)

# Their output keeps the scale of their input: they move or pick values and make none outside its range.
PASS_THROUGH = (Pad, Reshape, Dropout, Identity, MaxPool, AveragePool)


def quantised_tensors(graph: Graph) -> set[str]:
    """Return the names of the nodes whose output tensor is quantised."""
    return {node.name for node in graph.nodes if _is_quantised(node, graph)}


def quantised_kernels(graph: Graph) -> dict[str, str]:
    """Return the weight name of each quantised kernel, by its node's name."""
    return {node.name: node.kernel for node in graph.nodes if node.kernel is not None}


def _is_quantised(node: Node, graph: Graph) -> bool:
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
