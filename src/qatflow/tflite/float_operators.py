"""How operations that run in float become operators of TensorFlow Lite, which has none for them: several of its own.

All inner tensors are named `<node>/…`, so that the operators of a node can be recognised.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.graph.graph import Node
from qatflow.graph.operations import Attention, GroupNorm, LayerNorm, UnitNorm
from qatflow.tflite.lowering import Lowering


class _Steps:
    """The operators of a node, one behind the other, all in float32."""

    def __init__(self, lowering: Lowering, node: Node):
        self._lowering, self._node, self._shape = lowering, node, lowering.shape(node.name)

    def step(self, operator: str, name: str, inputs: Sequence[int], shape: Sequence[int], options: Any = None) -> int:
        """Add an operator; return its output, of that name within the node."""
        builder = self._lowering.builder
        output = builder.tensor(f"{self._node.name}/{name}", shape, np.float32)
        builder.operator(operator, inputs, [output], options)
        return output

    def last(self, operator: str, inputs: Sequence[int], options: Any) -> None:
        """Add the operator whose output is the node's tensor."""
        self._lowering.builder.operator(operator, inputs, [self._lowering.new_float(self._node.name)], options)

    def integers(self, name: str, values: Sequence[int]) -> int:
        """Add a constant of int32."""
        return self._lowering.constant(f"{self._node.name}/{name}", np.asarray(values, np.int32))

    def weight(self, role: str) -> int:
        """Add a weight of the node."""
        name = self._node.weight(role)
        return self._lowering.constant(name, self._lowering.graph.weights[name])

    def number(self, name: str, value: float) -> int:
        """Add a constant of one float32."""
        return self._lowering.constant(f"{self._node.name}/{name}", np.asarray([value], np.float32))

    def reshape(self, name: str, source: int, shape: Sequence[int]) -> int:
        """Add a reshape."""
        options = schema.ReshapeOptionsT()
        options.newShape = np.asarray(shape, np.int32)
        return self.step("RESHAPE", name, [source, self.integers(f"{name}_shape", shape)], shape, options)

    def transpose(self, name: str, source: int, shape: Sequence[int]) -> int:
        """Swap the two axes in the middle of [1, a, b, c]; `shape` is the new one."""
        order = self.integers(f"{name}_order", (0, 2, 1, 3))
        return self.step("TRANSPOSE", name, [source, order], shape, schema.TransposeOptionsT())

    def normalised(self, source: int, shape: Sequence[int], axes: Sequence[int], epsilon: float) -> int:
        """Return (x − mean) / sqrt(variance + epsilon), mean and variance over some axes."""
        few = [1 if axis in axes else size for axis, size in enumerate(shape)]
        over = self.integers("axes", axes)
        kept = schema.ReducerOptionsT()
        kept.keepDims = True
        mean = self.step("MEAN", "mean", [source, over], few, kept)
        centred = self.step("SUB", "centred", [source, mean], shape, schema.SubOptionsT())
        squares = self.step("MUL", "squares", [centred, centred], shape, schema.MulOptionsT())
        variance = self.step("MEAN", "variance", [squares, over], few, kept)
        inner = [variance, self.number("epsilon", epsilon)]
        raised = self.step("ADD", "raised", inner, few, schema.AddOptionsT())
        root = self.step("RSQRT", "root", [raised], few)
        return self.step("MUL", "normalised", [centred, root], shape, schema.MulOptionsT())

    def scaled_and_shifted(self, source: int) -> None:
        """End in · gamma + beta."""
        scaled = self.step("MUL", "scaled", [source, self.weight("gamma")], self._shape, schema.MulOptionsT())
        self.last("ADD", [scaled, self.weight("beta")], schema.AddOptionsT())


def _layer_norm(lowering: Lowering, node: Node) -> None:
    assert isinstance(node.operation, LayerNorm)
    steps, shape = _Steps(lowering, node), lowering.shape(node.name)
    source = lowering.as_float(node.inputs[0])
    steps.scaled_and_shifted(steps.normalised(source, shape, [len(shape) - 1], node.operation.epsilon))


def _group_norm(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, GroupNorm)
    steps, shape = _Steps(lowering, node), lowering.shape(node.name)
    apart = (1, prod(shape[1:-1]), operation.groups, shape[-1] // operation.groups)
    source = steps.reshape("apart", lowering.as_float(node.inputs[0]), apart)
    normalised = steps.normalised(source, apart, [1, 3], operation.epsilon)
    steps.scaled_and_shifted(steps.reshape("together", normalised, shape))


def _unit_norm(lowering: Lowering, node: Node) -> None:
    options = schema.L2NormOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.NONE
    _Steps(lowering, node).last("L2_NORMALIZATION", [lowering.as_float(node.inputs[0])], options)


def _attention(lowering: Lowering, node: Node) -> None:
    operation = node.operation
    assert isinstance(operation, Attention)
    steps, heads = _Steps(lowering, node), operation.heads

    def apart(name: str, source: str) -> tuple[int, tuple[int, int]]:
        """Return [1, heads, places, channels of a head] and the last two of these sizes."""
        _, places, channels = lowering.shape(source)
        size = channels // heads
        tensor = steps.reshape(f"{name}_apart", lowering.as_float(source), (1, places, heads, size))
        return steps.transpose(name, tensor, (1, heads, places, size)), (places, size)

    query, (places, size) = apart("query", node.inputs[0])
    key, (others, _) = apart("key", node.inputs[1])
    value, (_, width) = apart("value", node.inputs[2])
    scaled = [query, steps.number("scale", operation.scale)]
    query = steps.step("MUL", "scaled", scaled, (1, heads, places, size), schema.MulOptionsT())
    transposed = schema.BatchMatMulOptionsT()
    transposed.adjY = True
    scores = steps.step("BATCH_MATMUL", "scores", [query, key], (1, heads, places, others), transposed)
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    shares = steps.step("SOFTMAX", "shares", [scores], (1, heads, places, others), softmax)
    product = schema.BatchMatMulOptionsT()
    weighted = steps.step("BATCH_MATMUL", "weighted", [shares, value], (1, heads, places, width), product)
    together = steps.transpose("together", weighted, (1, places, heads, width))
    shape = lowering.shape(node.name)
    options = schema.ReshapeOptionsT()
    options.newShape = np.asarray(shape, np.int32)
    steps.last("RESHAPE", [together, steps.integers("shape", shape)], options)


FLOAT_LOWER: dict[type, Callable[[Lowering, Node], None]] = {
    LayerNorm: _layer_norm,
    GroupNorm: _group_norm,
    UnitNorm: _unit_norm,
    Attention: _attention,
}
