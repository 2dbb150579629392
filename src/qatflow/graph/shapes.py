"""The shape of each tensor of a graph, for one picture."""

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    AveragePool,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    GlobalMaxPool,
    Input,
    MaxPool,
    Multiply,
    Pad,
    Padding,
    Pair,
    Reshape,
    UpSample,
)

Shape = tuple[int, ...]


def shapes(graph: Graph) -> dict[str, Shape]:
    """Return the shape of each node's tensor, without the batch, by the node's name."""
    found: dict[str, Shape] = {}
    for node in graph.nodes:
        found[node.name] = _shape(node, graph, found)
    return found


def same_padding(size: int, window: int, stride: int) -> Pair:
    """Return the zeros before and after an axis under TensorFlow's `same`: the odd one goes after."""
    out = -(-size // stride)
    total = max((out - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _slid(shape: Shape, window: Pair, strides: Pair, padding: Padding, dilations: Pair = (1, 1)) -> Pair:
    sizes = []
    for size, width, stride, dilation in zip(shape[:2], window, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        sizes.append(-(-size // stride) if padding == "same" else (size - reach) // stride + 1)
    return sizes[0], sizes[1]


def _shape(node: Node, graph: Graph, known: dict[str, Shape]) -> Shape:
    operation = node.operation
    if isinstance(operation, Input):
        return operation.shape
    source = known[node.inputs[0]]
    match operation:
        case Conv2D():
            kernel = graph.weights[node.weight("kernel")].shape
            return *_slid(source, kernel[:2], operation.strides, operation.padding, operation.dilations), kernel[3]
        case DepthwiseConv2D():
            kernel = graph.weights[node.weight("depthwise_kernel")].shape
            out = _slid(source, kernel[:2], operation.strides, operation.padding, operation.dilations)
            return *out, kernel[2] * kernel[3]
        case Dense():
            return *source[:-1], graph.weights[node.weight("kernel")].shape[1]
        case Pad():
            return source[0] + sum(operation.rows), source[1] + sum(operation.columns), source[2]
        case AveragePool() | MaxPool():
            return *_slid(source, operation.window, operation.strides, operation.padding), source[2]
        case UpSample():
            return source[0] * operation.factors[0], source[1] * operation.factors[1], source[2]
        case Concat():
            return *source[:-1], sum(known[name][-1] for name in node.inputs)
        case Multiply():
            return tuple(max(sizes) for sizes in zip(*(known[name] for name in node.inputs), strict=True))
        case GlobalAveragePool() | GlobalMaxPool():
            return (1, 1, source[2]) if operation.keepdims else (source[2],)
        case Reshape():
            return operation.shape
        case _:
            return source
