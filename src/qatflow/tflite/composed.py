"""Operations for which TensorFlow Lite has no operator of its own: each is written as several."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.graph.graph import Node
from qatflow.graph.kernel_bounds import LARGEST_MULTIPLIER
from qatflow.graph.operations import (
    Elu,
    Exp,
    HardSigmoid,
    Mish,
    Selu,
    Softplus,
    Softsign,
    ThresholdedRelu,
)
from qatflow.tflite.lowering import Grid, Lowering

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
"""Constants of Klambauer et al. 2017 (arXiv:1706.02515, §2)."""


@dataclass
class _Steps:
    """Operators in float32 one after another, whose tensors are named after the node."""

    lowering: Lowering
    node: Node
    count: int = 0

    @property
    def x(self) -> int:
        """The node's input."""
        return self.lowering.as_float(self.node.inputs[0])

    def number(self, value: float) -> int:
        """Add a constant."""
        self.count += 1
        return self.lowering.constant(f"{self.node.name}/{self.count}", np.asarray([value], np.float32))

    def apply(self, operator: str, *inputs: int, options: Any = None, dtype: Any = np.float32) -> int:
        """Add an operator; return its output."""
        self.count += 1
        shape = self.lowering.shape(self.node.name)
        output = self.lowering.builder.tensor(f"{self.node.name}/{self.count}", shape, dtype)
        self.lowering.builder.operator(operator, list(inputs), [output], options)
        return output

    def result(self, operator: str, *inputs: int, options: Any = None) -> None:
        """Add the operator that computes the node's output."""
        self.lowering.builder.operator(operator, list(inputs), [self.lowering.new_float(self.node.name)], options)

    def add(self, first: int, second: int) -> int:
        """Add the sum of two tensors."""
        return self.apply("ADD", first, second, options=schema.AddOptionsT())

    def multiply(self, first: int, second: int) -> int:
        """Add the product of two tensors."""
        return self.apply("MUL", first, second, options=schema.MulOptionsT())

    def softplus(self) -> tuple[int, int]:
        """Return the terms of log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|)), whose exponential does not overflow."""
        powers = self.apply("EXP", self.apply("NEG", self.apply("ABS", self.x), options=schema.NegOptionsT()))
        return self.apply("RELU", self.x), self.apply("LOG", self.add(powers, self.number(1.0)))


def _scaled_elu(scale: float, alpha: float) -> Callable[[_Steps], None]:
    def lower(steps: _Steps) -> None:
        negative = steps.apply("MINIMUM", steps.x, steps.number(0.0), options=schema.MaximumMinimumOptionsT())
        below = steps.multiply(steps.apply("ELU", negative), steps.number(scale * alpha))
        above = steps.multiply(steps.apply("RELU", steps.x), steps.number(scale))
        steps.result("ADD", above, below, options=schema.AddOptionsT())

    return lower


def _elu(steps: _Steps) -> None:
    operation = steps.node.operation
    assert isinstance(operation, Elu)
    if operation.alpha == 1.0:
        steps.result("ELU", steps.x)
    else:
        _scaled_elu(1.0, operation.alpha)(steps)


def _exp(steps: _Steps) -> None:
    steps.result("EXP", steps.x, options=schema.ExpOptionsT())


def _softplus(steps: _Steps) -> None:
    steps.result("ADD", *steps.softplus(), options=schema.AddOptionsT())


def _softsign(steps: _Steps) -> None:
    below = steps.add(steps.apply("ABS", steps.x), steps.number(1.0))
    steps.result("DIV", steps.x, below, options=schema.DivOptionsT())


def _mish(steps: _Steps) -> None:
    steps.result("MUL", steps.x, steps.apply("TANH", steps.add(*steps.softplus())), options=schema.MulOptionsT())


def _thresholded(steps: _Steps) -> None:
    operation = steps.node.operation
    assert isinstance(operation, ThresholdedRelu)
    above = steps.apply("GREATER", steps.x, steps.number(operation.threshold), dtype=np.bool_)
    steps.result("MUL", steps.x, steps.apply("CAST", above), options=schema.MulOptionsT())


def _in_float(lower: Callable[[_Steps], None]) -> Callable[[Lowering, Node], None]:
    return lambda lowering, node: lower(_Steps(lowering, node))


def _hard_sigmoid(lowering: Lowering, node: Node) -> None:
    """Write min(max(slope · x + offset, 0), 1) as min(max(6 · slope · x + 6 · offset, 0), 6) / 6.

    In int8 the first and the last product only change the scale, and the sum rounds to the 256 steps of the result.
    """
    operation, grid = node.operation, lowering.integer_grid(node)
    assert isinstance(operation, HardSigmoid)
    slope, offset = 6 * operation.slope, 6 * operation.offset
    if grid is None:
        steps = _Steps(lowering, node)
        clipped = steps.apply("RELU6", steps.add(steps.multiply(steps.x, steps.number(slope)), steps.number(offset)))
        steps.result("MUL", clipped, steps.number(1 / 6), options=schema.MulOptionsT())
        return
    source = lowering.grid(node.inputs[0])
    scaled, six = Grid(source.scale * slope, source.zero_point), Grid(6 / 255, -128)
    if scaled.scale > LARGEST_MULTIPLIER * six.scale:
        raise UserError(
            f"{node.name}: the steps of its input ({source.scale:g}) are too large for its kernel: almost all values "
            "are 0 or 1; put a batch-norm before it, or name it in model.keep_in_float"
        )
    x = lowering.as_integers(node.inputs[0])
    if abs(slope - 1) > 1e-6:
        x = _int8(lowering, node, "scaled", scaled, "MUL", x, slope, schema.MulOptionsT())
    options = schema.AddOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    x = _int8(lowering, node, "clipped", six, "ADD", x, offset, options)
    sixth = _int8_number(lowering, f"{node.name}/sixth", 1 / 6)
    output = lowering.new_integers(node.name, grid)
    lowering.builder.operator("MUL", [x, sixth], [output], schema.MulOptionsT(), version=2)


def _int8(
    lowering: Lowering, node: Node, name: str, grid: Grid, operator: str, x: int, value: float, options: Any
) -> int:
    """Add an operator of an int8 tensor and a number; return its output, on a grid."""
    number = _int8_number(lowering, f"{node.name}/{name}/constant", value)
    scale = np.asarray([grid.scale], np.float32)
    shape = lowering.shape(node.name)
    output = lowering.builder.tensor(f"{node.name}/{name}", shape, np.int8, scale, zero_point=grid.zero_point)
    lowering.builder.operator(operator, [x, number], [output], options, version=2)
    return output


def _int8_number(lowering: Lowering, name: str, value: float) -> int:
    """Add a number as an int8 constant that stands for it exactly."""
    scale = max(abs(value) / 127, float(np.finfo(np.float32).tiny))
    return lowering.constant(name, np.asarray([127 * np.sign(value)], np.int8), np.asarray([scale], np.float32))


LOWER: dict[type, Callable[[Lowering, Node], None]] = {
    HardSigmoid: _hard_sigmoid,
    Elu: _in_float(_elu),
    Selu: _in_float(_scaled_elu(SELU_SCALE, SELU_ALPHA)),
    Exp: _in_float(_exp),
    Softplus: _in_float(_softplus),
    Softsign: _in_float(_softsign),
    Mish: _in_float(_mish),
    ThresholdedRelu: _in_float(_thresholded),
}
