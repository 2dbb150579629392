"""A graph, after its passes, as a .tflite model with a batch of 1.

Where a node's kernel, or the tensor it makes, has a scale, it runs in int8; the rest runs in float32, with QUANTIZE and
DEQUANTIZE between the two. Inputs and outputs are float32. Softmax stays in float, so that small probabilities survive.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    AveragePool,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    Input,
    MaxPool,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Softmax,
)
from qatflow.graph.shapes import Shape, shapes
from qatflow.tflite.builder import ModelBuilder

INT32_MAX = 2**31 - 1
PADDING = {"same": schema.Padding.SAME, "valid": schema.Padding.VALID}
ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


@dataclass
class Lowered:
    """The result of lowering.

    Attributes:
        content: bytes of the .tflite file.
        changed_channels: channels whose integers could not be kept, by node, with the reason: `zero`: batch-norm's
            gamma is 0, so the channel is its bias; `bias`: the scale is so small that the bias would not fit int32.
    """

    content: bytes = b""
    changed_channels: dict[str, dict[str, list[int]]] = field(default_factory=dict)


def lower(graph: Graph, description: str, metadata: dict[str, bytes] | None = None) -> Lowered:
    """Return the .tflite model of a graph that the passes have been run on.

    Args:
        graph: float, or quantised at 8 bits.
        description: what made the model; stored in it.
        metadata: named blobs to store in it.

    Raises:
        UserError: an operation, or a width, is not one that the run-time has; every such node is listed.
    """
    problems = unsupported(graph)
    if problems:
        raise UserError("the device's run-time cannot execute: " + "; ".join(problems))
    return _Lowering(graph).run(description, metadata or {})


def unsupported(graph: Graph) -> list[str]:
    """Return a line for each node or scale that the run-time has no kernel for."""
    problems = [
        f"{node.name} ({type(node.operation).__name__})" for node in graph.nodes if type(node.operation) not in LOWER
    ]
    problems += [
        f"{name} ({scale.bits}-bit weights; the kernels take 8)"
        for name, scale in graph.weight_scales.items()
        if scale.bits != 8
    ]
    problems += [
        f"{name} ({scale.bits}-bit activations; the kernels take 8)"
        for name, scale in graph.activation_scales.items()
        if scale.bits != 8
    ]
    return problems


class _Lowering:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.shapes = shapes(graph)
        self.builder = ModelBuilder()
        self.result = Lowered()
        self._float: dict[str, int] = {}
        self._int8: dict[str, int] = {}
        self._scales: dict[str, float] = {name: s.scale for name, s in graph.activation_scales.items()}

    def run(self, description: str, metadata: dict[str, bytes]) -> Lowered:
        for node in self.graph.nodes:
            LOWER[type(node.operation)](self, node)
        for name, content in metadata.items():
            self.builder.metadata(name, content)
        inputs = [(n.name, self._float[n.name]) for n in self.graph.nodes if isinstance(n.operation, Input)]
        outputs = [(name, self.as_float(name)) for name in self.graph.outputs]
        self.result.content = self.builder.pack(inputs, outputs, description)
        return self.result

    def shape(self, name: str) -> Shape:
        return (1, *self.shapes[name])

    def scale(self, name: str) -> float:
        """Return the scale of a quantised tensor; a bug of ours if there is none."""
        return self._scales[name]

    def is_int8(self, name: str) -> bool:
        return name in self._int8

    def as_float(self, name: str) -> int:
        """Return the tensor in float32, dequantised if need be."""
        if name not in self._float:
            self._float[name] = self.builder.tensor(f"{name}/float", self.shape(name), np.float32)
            self.builder.operator(
                "DEQUANTIZE", [self._int8[name]], [self._float[name]], schema.DequantizeOptionsT(), version=2
            )
        return self._float[name]

    def as_int8(self, name: str) -> int:
        """Return the tensor in int8, quantised if need be."""
        if name not in self._int8:
            source = self._float[name]
            index = self.new_int8(name, self._scales[name])
            self.builder.operator("QUANTIZE", [source], [index], schema.QuantizeOptionsT())
        return self._int8[name]

    def new_float(self, name: str) -> int:
        self._float[name] = self.builder.tensor(name, self.shape(name), np.float32)
        return self._float[name]

    def new_int8(self, name: str, scale: float) -> int:
        self._scales[name] = scale
        self._int8[name] = self.builder.tensor(
            f"{name}/int8" if name in self._float else name, self.shape(name), np.int8, np.asarray([scale], np.float32)
        )
        return self._int8[name]

    def constant(self, name: str, data: np.ndarray, scale: np.ndarray | None = None, axis: int = 0) -> int:
        return self.builder.tensor(name, data.shape, data.dtype, scale, axis, data)

    def simple(
        self, node: Node, operator: str, options: Any, extra: tuple[int, ...] = (), *, int8_version: int
    ) -> None:
        """Add an operator without weights: in int8 where its tensor has a scale, or where it passes one through."""
        source_scales = [self._scales.get(name) for name in node.inputs]
        own = self._scales.get(node.name)
        passes = isinstance(node.operation, Pad | Reshape | MaxPool | AveragePool)
        scale = source_scales[0] if passes else own
        if scale is not None and all(s is not None for s in source_scales):
            inputs = [self.as_int8(name) for name in node.inputs]
            self.builder.operator(operator, [*inputs, *extra], [self.new_int8(node.name, scale)], options, int8_version)
        else:
            inputs = [self.as_float(name) for name in node.inputs]
            self.builder.operator(operator, [*inputs, *extra], [self.new_float(node.name)], options)

    def weighted(
        self, node: Node, operator: str, kernel: np.ndarray, axis: int, options: Any, *, int8_version: int
    ) -> None:
        """Add a conv, depthwise conv or dense; `kernel` is in TensorFlow Lite's layout, channels along `axis`."""
        name = node.kernel
        assert name is not None
        source = node.inputs[0]
        channels = kernel.shape[axis]
        bias = self.graph.weights.get(node.weight("bias"), np.zeros(channels, np.float32))
        known = self.graph.weight_scales.get(name)
        if known is None:
            weights = [self.constant(name, kernel), self.constant(node.weight("bias"), bias)]
            self.builder.operator(operator, [self.as_float(source), *weights], [self.new_float(node.name)], options)
            return
        if source not in self._scales or node.name not in self._scales:
            raise UserError(f"{node.name}: its weights are int8 but the tensor it reads or makes has no scale")
        kernel, scale, bias_integers = self._integers(node, kernel, axis, known.scale, bias, self._scales[source])
        weights = [
            self.constant(name, kernel, scale, axis),
            self.constant(node.weight("bias"), bias_integers, (scale * np.float32(self._scales[source]))),
        ]
        inputs = [self.as_int8(source), *weights]
        output = self.new_int8(node.name, self._scales[node.name])
        self.builder.operator(operator, inputs, [output], options, int8_version)

    def _integers(
        self, node: Node, kernel: np.ndarray, axis: int, scale: np.ndarray, bias: np.ndarray, source_scale: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return kernel integers, scales and bias integers, with the few channels mended that no kernel could run."""
        kernel, scale = kernel.copy(), scale.astype(np.float64).copy()
        changed: dict[str, list[int]] = {}
        if scale.size > 1:
            floor = np.maximum(np.abs(bias) / (source_scale * INT32_MAX) * 1.0001, np.finfo(np.float32).tiny)
            for channel in np.flatnonzero(scale < floor):
                part: list[Any] = [slice(None)] * kernel.ndim
                part[axis] = channel
                changed.setdefault("zero" if scale[channel] == 0 else "bias", []).append(int(channel))
                mended = max(floor[channel], float(np.median(scale))) if scale[channel] == 0 else floor[channel]
                kernel[tuple(part)] = np.rint(kernel[tuple(part)] * (scale[channel] / mended))
                scale[channel] = mended
        if changed:
            self.result.changed_channels[node.name] = changed
        single = scale.astype(np.float32)
        step = single.astype(np.float64) * source_scale
        integers = np.clip(np.rint(bias / step), -INT32_MAX, INT32_MAX)
        return kernel, single, integers.astype(np.int32)


def _input(lowering: _Lowering, node: Node) -> None:
    lowering.new_float(node.name)


def _conv(lowering: _Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Conv2D)
    kernel = lowering.graph.weights[node.weight("kernel")].transpose(3, 0, 1, 2)
    options = _slide(schema.Conv2DOptionsT(), operation)
    lowering.weighted(node, "CONV_2D", kernel, 0, options, int8_version=3)


def _depthwise(lowering: _Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, DepthwiseConv2D)
    kernel = lowering.graph.weights[node.weight("depthwise_kernel")]
    options = _slide(schema.DepthwiseConv2DOptionsT(), operation)
    options.depthMultiplier = kernel.shape[3]
    flat = kernel.reshape(1, *kernel.shape[:2], -1)
    lowering.weighted(node, "DEPTHWISE_CONV_2D", flat, 3, options, int8_version=3)


def _slide(options: Any, operation: Conv2D | DepthwiseConv2D) -> Any:
    options.padding = PADDING[operation.padding]
    options.strideH, options.strideW = operation.strides
    options.dilationHFactor, options.dilationWFactor = operation.dilations
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    return options


def _dense(lowering: _Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Dense)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    options.keepNumDims = len(lowering.shape(node.name)) > 2
    kernel = lowering.graph.weights[node.weight("kernel")].transpose(1, 0)
    lowering.weighted(node, "FULLY_CONNECTED", kernel, 0, options, int8_version=4)


def _add(lowering: _Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Add)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[operation.activation]
    lowering.simple(node, "ADD", options, int8_version=2)


def _pad(lowering: _Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Pad)
    amounts = np.asarray([(0, 0), operation.rows, operation.columns, (0, 0)], np.int32)
    extra = (lowering.constant(f"{node.name}/paddings", amounts),)
    lowering.simple(node, "PAD", schema.PadOptionsT(), extra, int8_version=2)


def _pool(operator: str) -> Callable[[_Lowering, Node], None]:
    def lower_pool(lowering: _Lowering, node: Node) -> None:
        operation = node.operation
        assert isinstance(operation, AveragePool | MaxPool)
        options = schema.Pool2DOptionsT()
        options.padding = PADDING[operation.padding]
        options.filterHeight, options.filterWidth = operation.window
        options.strideH, options.strideW = operation.strides
        lowering.simple(node, operator, options, int8_version=2)

    return lower_pool


def _global_average_pool(lowering: _Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, GlobalAveragePool)
    options = schema.ReducerOptionsT()
    options.keepDims = operation.keepdims
    extra = (lowering.constant(f"{node.name}/axes", np.asarray([1, 2], np.int32)),)
    lowering.simple(node, "MEAN", options, extra, int8_version=2)


def _reshape(lowering: _Lowering, node: Node) -> None:
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray(lowering.shape(node.name), np.int32)
    extra = (lowering.constant(f"{node.name}/shape", options.newShape),)
    lowering.simple(node, "RESHAPE", options, extra, int8_version=1)


def _relu(lowering: _Lowering, node: Node) -> None:
    lowering.simple(node, "RELU6" if isinstance(node.operation, Relu6) else "RELU", None, int8_version=2)


def _softmax(lowering: _Lowering, node: Node) -> None:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    source = lowering.as_float(node.inputs[0])
    lowering.builder.operator("SOFTMAX", [source], [lowering.new_float(node.name)], options)


LOWER: dict[type, Callable[[_Lowering, Node], None]] = {
    Input: _input,
    Conv2D: _conv,
    DepthwiseConv2D: _depthwise,
    Dense: _dense,
    Add: _add,
    Pad: _pad,
    AveragePool: _pool("AVERAGE_POOL_2D"),
    MaxPool: _pool("MAX_POOL_2D"),
    GlobalAveragePool: _global_average_pool,
    Reshape: _reshape,
    Relu: _relu,
    Relu6: _relu,
    Softmax: _softmax,
}
