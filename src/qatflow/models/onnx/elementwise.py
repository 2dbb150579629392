"""ONNX' activations, and its arithmetic with two tensors or with a tensor and a constant."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qatflow.graph.operations import (
    Add,
    DepthwiseConv2D,
    Elu,
    Gelu,
    LeakyRelu,
    Multiply,
    Operation,
    Relu,
    Relu6,
    Sigmoid,
    Softmax,
    Tanh,
)
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.kernels import add_bias
from qatflow.models.onnx.translation import (
    PICTURE,
    Translate,
    Translation,
    UntranslatableError,
    Value,
    aligned,
    as_operand,
)


def _one(make: Callable[[OnnxNode], Operation]) -> Translate:
    """Return the translation of an operator that changes each value by itself."""

    def translate(to: Translation, node: OnnxNode) -> Value:
        value = to.value(node.inputs[0])
        return replace(value, node=to.add(node.name, make(node), (value.node,)))

    return translate


def _elu(node: OnnxNode) -> Operation:
    if float(node.attributes.get("alpha", 1.0)) != 1.0:
        raise UntranslatableError("alpha must be 1")
    return Elu()


def _gelu(node: OnnxNode) -> Operation:
    return Gelu(node.attributes.get("approximate", "none") == "tanh")


def _clip(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    low, high = (_bound(to, node, place, what) for place, what in ((1, "minimum"), (2, "maximum")))
    match (low, high):
        case (None, None):
            return value
        case (0.0, None):
            operation: Operation = Relu()
        case (0.0, 6.0):
            operation = Relu6()
        case _:
            raise UntranslatableError(f"clips to {low} … {high}; only to 0 … 6, or at 0")
    return replace(value, node=to.add(node.name, operation, (value.node,)))


def _bound(to: Translation, node: OnnxNode, place: int, what: str) -> float | None:
    values = to.constant(node, place, what)
    if values is None:
        return None
    bound = float(np.asarray(values).ravel()[0])
    return bound if abs(bound) < np.finfo(np.float32).max else None


def _softmax(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    rank = len(value.shape)
    axis = int(node.attributes.get("axis", -1 if to.model.opset >= 13 else 1)) % rank
    if to.model.opset < 13 and axis != rank - 1 and max(value.shape[axis + 1 :]) > 1:
        raise UntranslatableError(f"is over all axes from {axis} on, as before version 13; only over one is known")
    if value.our_axis(axis) != len(value.axes) - 1:
        raise UntranslatableError(f"is over axis {axis}; only over the classes or channels, which are last here")
    return replace(value, node=to.add(node.name, Softmax(), (value.node,)))


def _add(to: Translation, node: OnnxNode) -> Value:
    operand = _operand(to, node)
    if operand is None:
        return _of_two(to, node, Add())
    return _plus(to, node, *operand)


def _subtract(to: Translation, node: OnnxNode) -> Value:
    constant = to.real(node.inputs[1])
    if constant is None:
        raise UntranslatableError("subtracts a tensor; only constants are known")
    return _plus(to, node, to.value(node.inputs[0]), -constant)


def _multiply(to: Translation, node: OnnxNode) -> Value:
    operand = _operand(to, node)
    if operand is None:
        return _of_two(to, node, Multiply())
    return _times(to, node, *operand)


def _divide(to: Translation, node: OnnxNode) -> Value:
    constant = to.real(node.inputs[1])
    if constant is None or np.any(constant == 0):
        raise UntranslatableError("divides by a tensor, or by zero; only other constants are known")
    return _times(to, node, to.value(node.inputs[0]), 1 / constant.astype(np.float64))


def _operand(to: Translation, node: OnnxNode) -> tuple[Value, np.ndarray] | None:
    """Return the tensor and the constant that are combined, in whichever order; None if both are tensors."""
    constants = [to.real(name) for name in node.inputs]
    for place, constant in enumerate(constants):
        if constant is not None:
            return to.value(node.inputs[1 - place]), constant
    return None


def _of_two(to: Translation, node: OnnxNode, operation: Operation) -> Value:
    first, second = aligned(to, *(to.value(name) for name in node.inputs))
    name = to.add(node.name, operation, (first.node, second.node))
    return replace(first, node=name, shape=to.model.shapes[node.outputs[0]])


def _plus(to: Translation, node: OnnxNode, value: Value, constant: np.ndarray) -> Value:
    """Add a constant: as the bias of the layer before, if nothing else reads that, or by a layer of its own."""
    ours = as_operand(value, constant)
    before = to.node(value.node)
    source = next(name for name in node.inputs if to.real(name) is None)
    if (
        before.kernel is not None
        and before.weight("bias") not in to.weights
        and before.name not in to.activation_scales
        and to.alone(source)
        and _per_channel(ours)
    ):
        add_bias(to, before.name, ours)
        del to.values[source]  # the layer's sum without the bias is nowhere in the graph
        return value
    return _scaled(to, node, value, np.ones(1), ours)


def _times(to: Translation, node: OnnxNode, value: Value, constant: np.ndarray) -> Value:
    return _scaled(to, node, value, as_operand(value, constant), np.zeros(1))


def _scaled(to: Translation, node: OnnxNode, value: Value, factor: np.ndarray, offset: np.ndarray) -> Value:
    """Add x · factor + offset, per channel, as a 1 × 1 depthwise convolution."""
    if value.axes != PICTURE or not (_per_channel(factor) and _per_channel(offset)):
        raise UntranslatableError("combines a tensor with a constant; known for pictures, with one value per channel")
    channels = value.sizes[-1]
    weights = {
        "depthwise_kernel": np.broadcast_to(factor.ravel(), channels).reshape(1, 1, channels, 1),
        "bias": np.broadcast_to(offset.ravel(), channels),
    }
    return replace(value, node=to.add(node.name, DepthwiseConv2D((1, 1), "valid"), (value.node,), weights))


def _per_channel(values: np.ndarray) -> bool:
    return bool(values.size == values.shape[-1])


TRANSLATIONS: dict[str, Translate] = {
    "Relu": _one(lambda node: Relu()),
    "Sigmoid": _one(lambda node: Sigmoid()),
    "Tanh": _one(lambda node: Tanh()),
    "LeakyRelu": _one(lambda node: LeakyRelu(float(node.attributes.get("alpha", 0.01)))),
    "Elu": _one(_elu),
    "Gelu": _one(_gelu),
    "Clip": _clip,
    "Softmax": _softmax,
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
}
