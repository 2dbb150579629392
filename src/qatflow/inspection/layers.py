"""The layers of a .tflite file or of a graph: their shapes, widths, scales and sizes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Input
from qatflow.graph.shapes import shapes
from qatflow.tflite.packing import packed_width
from qatflow.tflite.read import Operator, Tensor, inputs, operators

SIZES = {
    "FLOAT32": 4.0,
    "FLOAT16": 2.0,
    "INT64": 8.0,
    "INT32": 4.0,
    "INT16": 2.0,
    "INT8": 1.0,
    "UINT8": 1.0,
    "INT4": 0.5,
}
"""Bytes of a value, by LiteRT's name of its type."""


@dataclass(frozen=True)
class Layer:
    """A layer, or an operator of a .tflite file.

    Attributes:
        name: of its output tensor.
        kind: operation of a graph, or LiteRT's name of the operator.
        shape: of its output, without the batch.
        type: of its output's values: int8, int16, uint8 or float32.
        scale: real value of one step of the output; None in float.
        zero_point: the integer that stands for 0; None in float.
        kernel: shape of its kernel; None without one.
        kernel_bits: width of the kernel's integers: what a graph says, or the fewest that the file's integers need; 32:
            float32; None without a kernel.
        kernel_scales: how many scales the kernel has; 0 in float.
        parameters: number of its kernel's, bias' and other constant values.
        bytes: that these take in the file.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    type: str
    scale: float | None
    zero_point: int | None
    kernel: tuple[int, ...] | None
    kernel_bits: int | None
    kernel_scales: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Contents:
    """What a model has.

    Attributes:
        file: as the user named it.
        input: shape of a picture, [height, width, channels].
        input_type: of its values.
        layers: in the order of execution.
        parameters: of all layers; a constant that two share counts once.
        parameter_bytes: that these take.
        bytes: of the file or files.
    """

    file: str
    input: tuple[int, ...]
    input_type: str
    layers: tuple[Layer, ...]
    parameters: int
    parameter_bytes: int
    bytes: int


def of_tflite(content: bytes, file: str) -> Contents:
    """Return what a .tflite file has."""
    every, (source, *_) = operators(content), inputs(content)
    constants = {tensor.name: tensor for one in every for tensor in _constants(one)}
    return Contents(
        file=file,
        input=tuple(source.shape[1:]),
        input_type=source.dtype.lower(),
        layers=tuple(_of_operator(one) for one in every),
        parameters=sum(prod(tensor.shape) for tensor in constants.values()),
        parameter_bytes=sum(map(_bytes, constants.values())),
        bytes=len(content),
    )


def of_graph(graph: Graph, file: str, size: int) -> Contents:
    """Return what a graph has.

    Args:
        graph: float or quantised.
        file: that it comes from.
        size: bytes of that.
    """
    known = shapes(graph)
    (source,) = (node for node in graph.nodes if isinstance(node.operation, Input))
    return Contents(
        file=file,
        input=known[source.name],
        input_type="float32",
        layers=tuple(_of_node(node, graph, known[node.name]) for node in graph.nodes if node.inputs),
        parameters=sum(values.size for values in graph.weights.values()),
        parameter_bytes=sum(values.nbytes for values in graph.weights.values()),
        bytes=size,
    )


def _constants(operator: Operator) -> Iterator[Tensor]:
    yield from (tensor for tensor in operator.inputs if tensor is not None and tensor.data is not None)


def _bytes(tensor: Tensor) -> int:
    return int(-(-prod(tensor.shape) * SIZES.get(tensor.dtype, 4.0) // 1))


def _of_operator(operator: Operator) -> Layer:
    output, kernel = operator.outputs[0], operator.kernel
    bits = None
    if kernel is not None:
        integers = kernel.data is not None and kernel.dtype in ("INT8", "INT4")
        bits = (
            packed_width(kernel.data)[0]
            if integers and kernel.data is not None
            else int(8 * SIZES.get(kernel.dtype, 4.0))
        )
    constants = list(_constants(operator))
    return Layer(
        name=output.name,
        kind=operator.name,
        shape=tuple(output.shape[1:]),
        type=output.dtype.lower(),
        scale=float(output.scale[0]) if output.scale.size else None,
        zero_point=int(output.zero_point[0]) if output.scale.size else None,
        kernel=None if kernel is None else kernel.shape,
        kernel_bits=bits,
        kernel_scales=0 if kernel is None else kernel.scale.size,
        parameters=sum(prod(tensor.shape) for tensor in constants),
        bytes=sum(map(_bytes, constants)),
    )


def _of_node(node: Node, graph: Graph, shape: Sequence[int]) -> Layer:
    own = {name: values for name, values in graph.weights.items() if name.rsplit("/", 1)[0] == node.name}
    output = graph.activation_scales.get(node.name)
    kernel = None if node.kernel is None else graph.weights[node.kernel]
    scale = graph.weight_scales.get(node.kernel or "")
    return Layer(
        name=node.name,
        kind=type(node.operation).__name__,
        shape=tuple(shape),
        type="float32" if output is None else f"int{output.bits}",
        scale=None if output is None else output.scale,
        zero_point=None if output is None else output.zero_point,
        kernel=None if kernel is None else kernel.shape,
        kernel_bits=None if kernel is None else 32 if scale is None else scale.bits,
        kernel_scales=0 if scale is None else scale.scale.size,
        parameters=sum(values.size for values in own.values()),
        bytes=sum(values.nbytes for values in own.values()),
    )
