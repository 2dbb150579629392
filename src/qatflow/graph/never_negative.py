"""Which tensors of a graph cannot be negative, whatever the pictures and the trained weights are."""

from qatflow.graph.families import PASS_THROUGH
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    Attention,
    Concat,
    Elu,
    Exp,
    Gelu,
    GlobalAveragePool,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Maximum,
    Minimum,
    Mish,
    Multiply,
    PRelu,
    Relu,
    Relu6,
    Rescale,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu,
    UnitNorm,
)

# Never negative, whatever they read.
ALWAYS = (Relu, Relu6, Sigmoid, HardSigmoid, Softmax, Softplus, Exp)

# Never negative where nothing that they read is: values are moved, averaged, added, multiplied or given another slope.
KEEP = (
    *PASS_THROUGH, GlobalAveragePool, Add, Multiply, Concat, Minimum,
    LeakyRelu, PRelu, HardSwish, Tanh, Elu, Selu, Softsign, Mish, Gelu, UnitNorm,
)  # fmt: skip


def never_negative(graph: Graph) -> frozenset[str]:
    """Return the names of the nodes whose tensors have no value below 0.

    Training may change all weights but constants: what follows from a kernel, a bias or a batch-norm does not count.

    Args:
        graph: float, or quantised: rounding to a grid makes nothing negative.
    """
    known: set[str] = set()
    for node in graph.nodes:
        if _never_negative(graph, node, known):
            known.add(node.name)
    return frozenset(known)


def _never_negative(graph: Graph, node: Node, known: set[str]) -> bool:
    operation = node.operation
    if isinstance(operation, ALWAYS) or getattr(operation, "activation", None) is not None:
        return True
    read = [name in known for name in node.inputs]
    constant = node.weight("constant")
    if constant in graph.weights:
        read.append(bool((graph.real_weight(constant) >= 0).all()))
    match operation:
        case ThresholdedRelu():
            return operation.threshold >= 0
        case Maximum():
            return any(read)
        case Multiply() if len(node.inputs) == 2 and node.inputs[0] == node.inputs[1]:
            return True
        case Rescale():
            return all(read) and all((graph.weights[node.weight(role)] >= 0).all() for role in ("factor", "offset"))
        case Attention():
            return read[2]
    return isinstance(operation, KEEP) and all(read)
