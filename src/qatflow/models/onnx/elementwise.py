"""ONNX' activations, and its arithmetic with two tensors or with a tensor and a constant."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qatflow.graph.graph import WeightScale
from qatflow.graph.operations import (
    Add,
    DepthwiseConv2D,
    Elu,
    Exp,
    Gelu,
    HardSigmoid,
    HardSwish,
    Input,
    LeakyRelu,
    Maximum,
    Minimum,
    Mish,
    Multiply,
    Operation,
    PRelu,
    Relu,
    Relu6,
    Rescale,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Subtract,
    Tanh,
    ThresholdedRelu,
)
from qatflow.graph.written_out import Erf, Quotient, SquareRoot, as_operation
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.kernels import add_bias, folded_into_kernel
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


def _number(node: OnnxNode, key: str, default: float) -> float:
    return float(node.attributes.get(key, default))


def _hard_sigmoid(node: OnnxNode) -> Operation:
    slope = _number(node, "alpha", 0.2)
    sixth = np.float32(slope) == np.float32(1 / 6)  # MobileNetV3's, as near as the file has it
    return HardSigmoid(1 / 6 if sixth else slope, _number(node, "beta", 0.5))


def _selu(node: OnnxNode) -> Operation:
    given = _number(node, "alpha", 1.67326319217681884765625), _number(node, "gamma", 1.05070102214813232421875)
    if not np.allclose(given, (1.6732632, 1.0507010), rtol=1e-6):
        raise UntranslatableError(f"has alpha and gamma {given}; only those of its definition are known")
    return Selu()


def _clip(to: Translation, node: OnnxNode) -> Value:
    """Add max(x, low) and min(x, high), or the activation that they are."""
    value = to.value(node.inputs[0])
    low, high = (_bound(to, node, place, what) for place, what in ((1, "minimum"), (2, "maximum")))
    if (low, high) == (0.0, 6.0):
        return replace(value, node=to.add(node.name, Relu6(), (value.node,)))
    name = value.node
    if low is not None:
        lower = node.name if high is None else f"{node.name}/at_least"
        name = (
            to.add(lower, Relu(), (name,))
            if low == 0
            else to.add(lower, Maximum(), (name,), {"constant": np.full((1,) * len(value.axes), low)})
        )
    if high is not None:
        name = to.add(node.name, Minimum(), (name,), {"constant": np.full((1,) * len(value.axes), high)})
    return replace(value, node=name)


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


def _p_relu(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    slope = to.constant(node, 1, "slope")
    assert slope is not None
    alpha = as_operand(value, slope)
    if not _per_channel(alpha):
        raise UntranslatableError("has other slopes than one, or one per channel")
    channels = value.sizes[-1]
    alpha = np.broadcast_to(alpha, (*alpha.shape[:-1], channels))
    return replace(value, node=to.add(node.name, PRelu(), (value.node,), {"alpha": alpha}))


def _add(to: Translation, node: OnnxNode) -> Value:
    operand = _operand(to, node)
    if operand is None:
        return _of_two(to, node, Add())
    value, place = operand
    ours = as_operand(value, _real(to, node, place))
    before = to.node(value.node)
    if (
        before.kernel is not None
        and before.weight("bias") not in to.weights
        and before.name not in to.activation_scales
        and to.alone(before.name)
        and _per_channel(ours)
    ):
        add_bias(to, before.name, ours)
        to.forget(before.name)  # the layer's sum without the bias is nowhere in the graph
        return value
    return _with_constant(to, node, value, place, Add(), ours)


def _subtract(to: Translation, node: OnnxNode) -> Value:
    operand = _operand(to, node)
    if operand is None:
        return _of_two(to, node, Subtract())
    value, place = operand
    ours = as_operand(value, _real(to, node, place))
    if place == 0:
        return _with_constant(to, node, value, place, Subtract(constant_first=True), ours)
    if _of_pictures(to, value) and _per_channel(ours):
        return _rescaled(to, node, value, np.ones(1), -ours)
    return _with_constant(to, node, value, place, Subtract(), ours)


def _multiply(to: Translation, node: OnnxNode) -> Value:
    operand = _operand(to, node)
    if operand is None:
        return _of_two(to, node, Multiply())
    value, place = operand
    return _times(to, node, value, place, as_operand(value, _real(to, node, place)))


def _divide(to: Translation, node: OnnxNode) -> Value:
    divisor = to.real(node.inputs[1])
    if divisor is None and to.real(node.inputs[0]) is None:
        return _of_two(to, node, as_operation(Quotient()))
    if divisor is None or np.any(divisor == 0):
        raise UntranslatableError("divides by a tensor, or by zero; only other constants are known")
    value = to.value(node.inputs[0])
    return _times(to, node, value, None, as_operand(value, 1 / divisor.astype(np.float64)))


def _negative(to: Translation, node: OnnxNode) -> Value:
    value = to.value(node.inputs[0])
    return _times(to, node, value, None, as_operand(value, np.full((), -1.0)))


def _power(to: Translation, node: OnnxNode) -> Value:
    exponent = to.constant(node, 1, "exponent")
    if exponent is None or np.any(exponent != 2):
        raise UntranslatableError("raises to another power than 2")
    value = to.value(node.inputs[0])
    return replace(value, node=to.add(node.name, Multiply(), (value.node, value.node)))


def _picked(operation: Operation) -> Translate:
    """Return the translation of the larger or smaller of two values."""

    def translate(to: Translation, node: OnnxNode) -> Value:
        if len(node.inputs) != 2:
            raise UntranslatableError(f"picks from {len(node.inputs)} tensors; only from two")
        operand = _operand(to, node)
        if operand is None:
            return _of_two(to, node, operation)
        value, place = operand
        return _with_constant(to, node, value, place, operation, as_operand(value, _real(to, node, place)))

    return translate


def _operand(to: Translation, node: OnnxNode) -> tuple[Value, int] | None:
    """Return the tensor that is combined with a constant, and the constant's place; None if both are tensors."""
    for place, name in enumerate(node.inputs):
        if to.real(name) is not None:
            return to.value(node.inputs[1 - place]), place
    return None


def _real(to: Translation, node: OnnxNode, place: int) -> np.ndarray:
    values = to.real(node.inputs[place])
    assert values is not None
    return values


def _of_two(to: Translation, node: OnnxNode, operation: Operation) -> Value:
    first, second = aligned(to, *(to.value(name) for name in node.inputs))
    name = to.add(node.name, operation, (first.node, second.node))
    return replace(first, node=name, shape=to.model.shapes[node.outputs[0]])


def _times(to: Translation, node: OnnxNode, value: Value, place: int | None, factor: np.ndarray) -> Value:
    """Add a product: a layer of its own where each channel has another factor, which training then goes on with."""
    source = next(name for name in node.inputs if name in to.values)
    if _per_channel(factor) and folded_into_kernel(to, source, factor, np.zeros(1)):
        return value
    if _of_pictures(to, value) and _per_channel(factor):
        return _rescaled(to, node, value, factor, np.zeros(1))
    if value.axes == PICTURE and factor.size > 1 and _per_channel(factor) and not _quantised(to, node, place):
        kernel = {"depthwise_kernel": factor.reshape(1, 1, -1, 1)}
        return replace(value, node=to.add(node.name, DepthwiseConv2D((1, 1), "valid"), (value.node,), kernel))
    return _with_constant(to, node, value, place, Multiply(), factor)


def _with_constant(
    to: Translation, node: OnnxNode, value: Value, place: int | None, operation: Operation, ours: np.ndarray
) -> Value:
    """Add an operation of a tensor and a constant; one that the model stores as integers keeps these.

    Args:
        to: the translation.
        node: the ONNX node.
        value: the tensor.
        place: of the constant among the node's inputs; None: it is computed from one.
        operation: the graph's operation.
        ours: the constant's real values, in our layout.
    """
    name = to.add(node.name, operation, (value.node,), {"constant": ours})
    if place is not None and _quantised(to, node, place):
        stored = to.quantised[node.inputs[place]]
        shift = 128 if stored.values.dtype == np.uint8 else 0
        if stored.scale.size == 1 and np.all(stored.zero_point == shift):
            integers = as_operand(value, stored.values.astype(np.float64) - shift)
            to.weights[f"{name}/constant"] = integers.astype(np.int8)
            to.weight_scales[f"{name}/constant"] = WeightScale(8, stored.scale.astype(np.float32))
    return replace(value, node=name)


def _quantised(to: Translation, node: OnnxNode, place: int | None) -> bool:
    return place is not None and node.inputs[place] in to.quantised


def _of_pictures(to: Translation, value: Value) -> bool:
    """Return whether a tensor is the pictures, rescaled at most."""
    before = to.node(value.node)
    while isinstance(before.operation, Rescale):
        before = to.node(before.inputs[0])
    in_order = value.axes == to.values[to.model.input].axes
    return in_order and isinstance(before.operation, Input) and before.name not in to.activation_scales


def _rescaled(to: Translation, node: OnnxNode, value: Value, factor: np.ndarray, offset: np.ndarray) -> Value:
    channels = value.sizes[-1]
    weights = {"factor": np.broadcast_to(factor.ravel(), channels), "offset": np.broadcast_to(offset.ravel(), channels)}
    return replace(value, node=to.add(node.name, Rescale(), (value.node,), weights))


def _per_channel(values: np.ndarray) -> bool:
    return bool(values.size == values.shape[-1])


TRANSLATIONS: dict[str, Translate] = {
    "Relu": _one(lambda node: Relu()),
    "Sigmoid": _one(lambda node: Sigmoid()),
    "HardSigmoid": _one(_hard_sigmoid),
    "HardSwish": _one(lambda node: HardSwish()),
    "Tanh": _one(lambda node: Tanh()),
    "LeakyRelu": _one(lambda node: LeakyRelu(_number(node, "alpha", 0.01))),
    "PRelu": _p_relu,
    "Elu": _one(lambda node: Elu(_number(node, "alpha", 1.0))),
    "Selu": _one(_selu),
    "Exp": _one(lambda node: Exp()),
    "Erf": _one(lambda node: as_operation(Erf())),
    "Sqrt": _one(lambda node: as_operation(SquareRoot())),
    "Softplus": _one(lambda node: Softplus()),
    "Softsign": _one(lambda node: Softsign()),
    "Mish": _one(lambda node: Mish()),
    "ThresholdedRelu": _one(lambda node: ThresholdedRelu(_number(node, "alpha", 1.0))),
    "Gelu": _one(lambda node: Gelu(node.attributes.get("approximate", "none") == "tanh")),
    "Clip": _clip,
    "Softmax": _softmax,
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Neg": _negative,
    "Pow": _power,
    "Max": _picked(Maximum()),
    "Min": _picked(Minimum()),
}
