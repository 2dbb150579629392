"""How far an output on the device may differ from the host's: as the user sets it, or as the model's kernels need."""

from collections.abc import Sequence
from dataclasses import dataclass

from qatflow.device.results.words import amount
from qatflow.tflite.int4 import rounds_by_machine
from qatflow.tflite.read import WEIGHTED, Operator, operators, probabilities_end
from qatflow.tflite.run import TensorType

# The float kernels of ARM and x86 add in different orders (measured: up to 8e-7 at 32×32, 2.2e-6 with weights of
# ImageNet).
FLOAT_TOLERANCE = 1e-4
# LiteRT's own uint8 kernels round differently on ARM and x86 (measured: up to 9 steps of 256 over the layers of the
# official MobileNetV1 1.0).
UINT8_STEPS = 16
UINT8_RANGE = 256
# Float kernels between integer ones end in other last bits on ARM and x86. A value near the middle of two steps is then
# rounded to either, and what follows differs by that step (measured: up to 8 steps of a logit of ConvNeXtTiny with
# random weights).
MIXED_STEPS = 16
# XNNPACK takes no INT4 kernels of convolutions, and LiteRT's own round up to 4 of 100 values of a layer to another step
# on ARM than on x86 (measured: up to 17 of 256 steps of a probability, for MobileNetV1 0.75 at 4 bits).
INT4_STEPS = 64
ASKED = "as device.tolerance says"
EXACT = (
    "ADD", "SUB", "MUL", "DEQUANTIZE", "RESHAPE", "TRANSPOSE", "PAD", "CONCATENATION", "MAX_POOL_2D", "REDUCE_MAX",
    "RELU", "RELU6", "RESIZE_NEAREST_NEIGHBOR", "PADV2", "SLICE",
)  # fmt: skip
"""Operators whose float values are the same bits everywhere, if their inputs are: they move, or round once."""


@dataclass(frozen=True)
class Tolerance:
    """The greatest difference of an output that is allowed.

    Attributes:
        value: the difference in the unit of the output: steps, if it is an integer tensor.
        unit: this unit, in words that follow a number.
        reason: why it has this value.
        step: real value of one step of the output; 0 if the output is not an integer tensor.
    """

    value: float
    unit: str
    reason: str
    step: float = 0.0

    @property
    def steps(self) -> float:
        """The tolerance of an inner integer tensor, in steps: a real value counts as a fraction of all its steps."""
        return self.value if self.step else self.value * UINT8_RANGE

    @property
    def share(self) -> float:
        """The tolerance of an inner float tensor, as a fraction of its greatest magnitude."""
        return self.value * self.step if self.step else self.value

    def text(self) -> str:
        """Return the tolerance in words, with its reason."""
        return f"{amount(self.value, self.unit)} ({self.reason})" if self.value else f"equal bits ({self.reason})"


def tolerance_of(content: bytes, output: TensorType, asked: float | None) -> Tolerance:
    """Return the tolerance of the model that ships.

    Args:
        content: the .tflite file.
        output: type of its output.
        asked: device.tolerance; None: 16 steps for a model whose layers compute in uint8, or that has layers in float
            before others in integers; 64 for one with INT4 kernels in int8 convolutions; 0 for any other.
    """
    unit, step = unit_of(content, output), _step(output)
    if asked is not None:
        return Tolerance(asked, unit, ASKED, step)
    every = operators(content)
    for steps_allowed, applies, reason in (
        (UINT8_STEPS, _in_uint8(every), "computes in uint8, whose kernels round differently"),
        (
            INT4_STEPS,
            rounds_by_machine(every),
            "has convolutions with INT4 kernels, which LiteRT rounds differently on ARM and x86",
        ),
        (
            MIXED_STEPS,
            _mixed(every),
            "has layers in float before others in int8, and float kernels differ a little",
        ),
    ):
        if applies:
            value = float(steps_allowed) if step else steps_allowed / UINT8_RANGE
            return Tolerance(value, unit, f"device.tolerance null: this model {reason}", step)
    return Tolerance(0.0, unit, "device.tolerance null: 0, as this model does not compute in uint8", step)


def float_tolerance_of(content: bytes, output: TensorType, shipped: Tolerance) -> Tolerance:
    """Return the tolerance of the float model next to the one that ships: at least `FLOAT_TOLERANCE`.

    A greater one that the user asks for applies here too, unless it is in steps.
    """
    unit = unit_of(content, output)
    if shipped.step or shipped.value <= FLOAT_TOLERANCE or shipped.reason != ASKED:
        return Tolerance(FLOAT_TOLERANCE, unit, "float kernels add in different orders")
    return Tolerance(shipped.value, unit, shipped.reason)


def unit_of(content: bytes, output: TensorType) -> str:
    """Return the unit of a model's output, in words that follow a number."""
    step = _step(output)
    if step:
        return steps(step)
    return "of a probability" if probabilities_end(content) else "(absolute)"


def steps(scale: float) -> str:
    """Return `steps of 1/256`, from the scale of an integer tensor."""
    inverse = round(1 / scale)
    return f"steps of 1/{inverse}" if inverse > 1 and abs(inverse * scale - 1) < 1e-5 else f"steps of {scale:.3g}"


def _step(output: TensorType) -> float:
    return output.scale if output.dtype.kind in "iu" else 0.0


def _mixed(every: Sequence[Operator]) -> bool:
    """Return whether float values that a kernel computed are rounded to integers later."""
    inexact: set[str] = set()
    for operator in every:
        reads_inexact = any(tensor is not None and tensor.name in inexact for tensor in operator.inputs)
        if operator.outputs[0].dtype == "FLOAT32":
            if reads_inexact or operator.name not in EXACT:
                inexact.add(operator.outputs[0].name)
        elif reads_inexact:
            return True
    return False


def _in_uint8(every: Sequence[Operator]) -> bool:
    weighted = (operator for operator in every if operator.name in WEIGHTED)
    return any(operator.outputs[0].dtype == "UINT8" for operator in weighted)
