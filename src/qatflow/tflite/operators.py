"""How each operation of a graph becomes an operator of TensorFlow Lite: one function per operation, in one table."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.graph.graph import Node
from qatflow.graph.operations import (
    FLOAT_MAX,
    Add,
    AveragePool,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Gelu,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSwish,
    Input,
    LeakyRelu,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Pad,
    Permute,
    PRelu,
    Relu,
    Relu6,
    Rescale,
    Reshape,
    Resize,
    Sigmoid,
    Softmax,
    Subtract,
    Tanh,
    UpSample,
)
from qatflow.tflite import composed
from qatflow.tflite.float_operators import FLOAT_LOWER
from qatflow.tflite.lowering import Lowering

PADDING = {"same": schema.Padding.SAME, "valid": schema.Padding.VALID}
ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


def _input(lowering: Lowering, node: Node) -> None:
    lowering.new_float(node.name)


def _conv(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Conv2D)
    kernel = lowering.graph.weights[node.weight("kernel")].transpose(3, 0, 1, 2)
    options = _slide(schema.Conv2DOptionsT(), operation)
    lowering.weighted(node, "CONV_2D", kernel, 0, options, int8_version=3)


def _depthwise(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, DepthwiseConv2D)
    kernel = lowering.graph.weights[node.weight("depthwise_kernel")]
    options = _slide(schema.DepthwiseConv2DOptionsT(), operation)
    options.depthMultiplier = kernel.shape[3]
    flat = kernel.reshape(1, *kernel.shape[:2], -1)
    lowering.weighted(node, "DEPTHWISE_CONV_2D", flat, 3, options, int8_version=3)


def _conv_transpose(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Conv2DTranspose)
    kernel = lowering.graph.weights[node.weight("kernel")].transpose(3, 0, 1, 2)
    options = schema.TransposeConvOptionsT()
    options.padding = PADDING[operation.padding]
    options.strideH, options.strideW = operation.strides
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    size = lowering.constant(f"{node.name}/shape", np.asarray(lowering.shape(node.name), np.int32))
    version = 3 if operation.activation is None else 4
    lowering.weighted(
        node, "TRANSPOSE_CONV", kernel, 0, options, int8_version=version, float_version=version, size=size
    )


def _rescale(lowering: Lowering, node: Node) -> None:
    if lowering.integer_grid(node) is not None:
        _rescale_in_int8(lowering, node)
        return
    # multiply, then add, so that both round as float32 does: one fused operation would round otherwise on ARM
    factor, offset = (
        lowering.constant(node.weight(role), lowering.graph.weights[node.weight(role)]) for role in ("factor", "offset")
    )
    builder = lowering.builder
    product = builder.tensor(f"{node.name}/product", lowering.shape(node.name), np.float32)
    builder.operator("MUL", [lowering.as_float(node.inputs[0]), factor], [product], schema.MulOptionsT())
    builder.operator("ADD", [product, offset], [lowering.new_float(node.name)], schema.AddOptionsT())


def _rescale_in_int8(lowering: Lowering, node: Node) -> None:
    factor, offset = (lowering.graph.weights[node.weight(role)] for role in ("factor", "offset"))
    kernel = (127 * np.sign(factor)).astype(np.int8).reshape(1, 1, 1, -1)
    scale = np.where(factor == 0, 1, np.abs(factor) / 127).astype(np.float32)
    options = _slide(schema.DepthwiseConv2DOptionsT(), DepthwiseConv2D((1, 1), "valid"))
    options.depthMultiplier = 1
    lowering.weighted_in_integers(node, "DEPTHWISE_CONV_2D", node.weight("factor"), kernel, 3, scale, offset, options)


def _slide(options: Any, operation: Conv2D | DepthwiseConv2D) -> Any:
    options.padding = PADDING[operation.padding]
    options.strideH, options.strideW = operation.strides
    options.dilationHFactor, options.dilationWFactor = operation.dilations
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    return options


def _dense(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Dense)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    options.keepNumDims = len(lowering.shape(node.name)) > 2
    kernel = lowering.graph.weights[node.weight("kernel")].transpose(1, 0)
    lowering.weighted(node, "FULLY_CONNECTED", kernel, 0, options, int8_version=4)


def _add(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Add)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    lowering.simple(node, "ADD", options, int8_version=2)


def _multiply(lowering: Lowering, node: Node) -> None:
    lowering.simple(node, "MUL", schema.MulOptionsT(), int8_version=2)


def _subtract(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Subtract)
    options = schema.SubOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    lowering.simple(node, "SUB", options, int8_version=2, operand_first=operation.constant_first)


def _larger_or_smaller(operator: str) -> Callable[[Lowering, Node], None]:
    # the int8 kernel compares integers
    return lambda lowering, node: lowering.simple(
        node, operator, schema.MaximumMinimumOptionsT(), int8_version=2, one_grid=True
    )


def _concat(lowering: Lowering, node: Node) -> None:
    options = schema.ConcatenationOptionsT()
    assert isinstance(node.operation, Concat)
    options.axis = len(lowering.shape(node.name)) + node.operation.axis
    # the int8 kernel copies, so inputs with another scale are converted to the output's scale first
    lowering.simple(node, "CONCATENATION", options, int8_version=2, one_grid=True)


def _leaky_relu(lowering: Lowering, node: Node) -> None:
    assert isinstance(node.operation, LeakyRelu)
    options = schema.LeakyReluOptionsT()
    options.alpha = node.operation.alpha
    lowering.simple(node, "LEAKY_RELU", options, int8_version=2)


def _plain(operator: str, version: int = 2) -> Callable[[Lowering, Node], None]:
    return lambda lowering, node: lowering.simple(node, operator, None, int8_version=version)


def _gelu(lowering: Lowering, node: Node) -> None:
    assert isinstance(node.operation, Gelu)
    options = schema.GeluOptionsT()
    options.approximate = node.operation.approximate
    lowering.simple(node, "GELU", options, int8_version=2)


def _up_sample(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, UpSample | Resize)
    name = "RESIZE_BILINEAR" if operation.bilinear else "RESIZE_NEAREST_NEIGHBOR"
    options = schema.ResizeBilinearOptionsT() if operation.bilinear else schema.ResizeNearestNeighborOptionsT()
    options.halfPixelCenters = True
    size = np.asarray(lowering.shape(node.name)[1:3], np.int32)
    extra = (lowering.constant(f"{node.name}/size", size),)
    lowering.simple(node, name, options, extra, int8_version=3, float_version=3)


def _crop(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Crop)
    begin = np.asarray([0, operation.rows[0], operation.columns[0], operation.channels[0]], np.int32)
    size = np.asarray(lowering.shape(node.name), np.int32)
    extra = (lowering.constant(f"{node.name}/begin", begin), lowering.constant(f"{node.name}/size", size))
    lowering.simple(node, "SLICE", schema.SliceOptionsT(), extra, int8_version=2)


def _permute(lowering: Lowering, node: Node) -> None:
    assert isinstance(node.operation, Permute)
    order = np.asarray([0, *(axis + 1 for axis in node.operation.axes)], np.int32)
    extra = (lowering.constant(f"{node.name}/order", order),)
    lowering.simple(node, "TRANSPOSE", schema.TransposeOptionsT(), extra, int8_version=2)


def _pad(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Pad)
    amounts = np.asarray([(0, 0), operation.rows, operation.columns, (0, 0)], np.int32)
    paddings = lowering.constant(f"{node.name}/paddings", amounts)
    if not operation.lowest:
        lowering.simple(node, "PAD", schema.PadOptionsT(), (paddings,), int8_version=2)
        return
    grid = lowering.integer_grid(node)
    lowest = np.asarray([-FLOAT_MAX], np.float32)
    if grid is not None:
        lowest = np.asarray([np.iinfo(grid.dtype).min], grid.dtype)
    scale, zero = (None, 0) if grid is None else (grid.steps, grid.zero_point)
    value = lowering.constant(f"{node.name}/lowest", lowest, scale, zero_point=zero)
    lowering.simple(node, "PADV2", schema.PadV2OptionsT(), (paddings, value), int8_version=2)


def _pool(operator: str) -> Callable[[Lowering, Node], None]:
    def lower_pool(lowering: Lowering, node: Node) -> None:
        operation = node.operation
        assert isinstance(operation, AveragePool | MaxPool)
        options = schema.Pool2DOptionsT()
        options.padding = PADDING[operation.padding]
        options.filterHeight, options.filterWidth = operation.window
        options.strideH, options.strideW = operation.strides
        lowering.simple(node, operator, options, int8_version=2)

    return lower_pool


def _global_pool(operator: str) -> Callable[[Lowering, Node], None]:
    def lower_pool(lowering: Lowering, node: Node) -> None:
        operation = node.operation
        assert isinstance(operation, GlobalAveragePool | GlobalMaxPool)
        options = schema.ReducerOptionsT()
        options.keepDims = operation.keepdims
        extra = (lowering.constant(f"{node.name}/axes", np.asarray([1, 2], np.int32)),)
        lowering.simple(node, operator, options, extra, int8_version=2)

    return lower_pool


def _reshape(lowering: Lowering, node: Node) -> None:
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray(lowering.shape(node.name), np.int32)
    extra = (lowering.constant(f"{node.name}/shape", options.newShape),)
    lowering.simple(node, "RESHAPE", options, extra, int8_version=1)


def _relu(lowering: Lowering, node: Node) -> None:
    lowering.simple(node, "RELU6" if isinstance(node.operation, Relu6) else "RELU", None, int8_version=2)


def _softmax(lowering: Lowering, node: Node) -> None:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    source = lowering.as_float(node.inputs[0])
    lowering.builder.operator("SOFTMAX", [source], [lowering.new_float(node.name)], options)


LOWER: dict[type, Callable[[Lowering, Node], None]] = {
    Input: _input,
    Conv2D: _conv,
    DepthwiseConv2D: _depthwise,
    Conv2DTranspose: _conv_transpose,
    Rescale: _rescale,
    Dense: _dense,
    Add: _add,
    Multiply: _multiply,
    Subtract: _subtract,
    Maximum: _larger_or_smaller("MAXIMUM"),
    Minimum: _larger_or_smaller("MINIMUM"),
    Concat: _concat,
    Pad: _pad,
    Crop: _crop,
    Permute: _permute,
    AveragePool: _pool("AVERAGE_POOL_2D"),
    MaxPool: _pool("MAX_POOL_2D"),
    GlobalAveragePool: _global_pool("MEAN"),
    GlobalMaxPool: _global_pool("REDUCE_MAX"),
    Reshape: _reshape,
    Relu: _relu,
    Relu6: _relu,
    LeakyRelu: _leaky_relu,
    Sigmoid: _plain("LOGISTIC"),
    Tanh: _plain("TANH"),
    PRelu: _plain("PRELU", version=1),
    HardSwish: _plain("HARD_SWISH", version=1),
    **composed.LOWER,
    Gelu: _gelu,
    UpSample: _up_sample,
    Resize: _up_sample,
    Softmax: _softmax,
    **FLOAT_LOWER,
}
