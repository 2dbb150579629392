"""Tensors of a .tflite model whose scale is too small for their kernels; see `graph/kernel_bounds.py` for the rule."""

from collections.abc import Iterable

import numpy as np

from qatflow.graph.kernel_bounds import HARD_SWISH_FACTOR, LEAST_SCALE, SIX, SUM_FACTOR, least_scale
from qatflow.graph.operator_bits import NARROW, WIDE
from qatflow.tflite.read import Operator, Tensor

SUMS = ("ADD", "SUB", "CONCATENATION", "MAXIMUM", "MINIMUM", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU")
"""Operators that convert each input to the scale of the output."""
COMBINING = ("ADD", "SUB", "MUL")
INTEGERS = {"INT8": NARROW, "UINT8": NARROW, "INT16": WIDE}
"""Width by type."""
CLIPS = {"RELU6": SIX, "RELU_N1_TO_1": 1.0}
"""Where an activation clips from above, as an operator of its own or at the end of another."""


def too_small(operators: Iterable[Operator]) -> dict[str, float]:
    """Return, for each tensor whose scale is too small, the smallest possible scale, by name, in operator order."""
    raised: dict[str, float] = {}

    def scale(tensor: Tensor) -> float:
        return raised.get(tensor.name, float(tensor.scale.max()))

    for operator in operators:
        output = operator.outputs[0]
        if output.dtype not in INTEGERS or output.scale.size != 1:
            continue
        integers = [tensor for tensor in operator.inputs if tensor is not None and tensor.dtype in INTEGERS]
        # a constant in the place of a tensor counts like one
        tensors = [tensor for tensor in integers if tensor.data is None or operator.name in COMBINING]
        inputs = [scale(tensor) for tensor in tensors if tensor.scale.size == 1]
        least = _least(operator, inputs, INTEGERS[output.dtype])
        if least > scale(output):
            raised[output.name] = least
    return raised


def _least(operator: Operator, inputs: list[float], bits: int) -> float:
    source = operator.source
    if not inputs or source is None:
        return LEAST_SCALE
    if (
        operator.name == "QUANTIZE"
        and source.dtype != operator.outputs[0].dtype
        and WIDE in (bits, INTEGERS[source.dtype])
    ):
        return LEAST_SCALE  # its multiplier may be as large as any that we write
    clip = CLIPS.get(operator.name, CLIPS.get(operator.activation, 0.0))
    kernel = operator.kernel
    if kernel is not None:
        largest = float(kernel.scale.max(initial=0)) * (SUM_FACTOR if bits == WIDE else 1.0)
        return least_scale(inputs[:1], largest, clip=clip, bits=bits) if kernel.scale.size else LEAST_SCALE
    if operator.name == "MUL":
        return least_scale(inputs, multiplied=True, clip=clip, bits=bits)
    if operator.name == "MEAN":
        share = float(np.prod(operator.outputs[0].shape) / np.prod(source.shape))
        return least_scale(inputs, 1.0 if bits == WIDE else share, bits=bits)
    if operator.name == "HARD_SWISH":
        return least_scale(inputs, HARD_SWISH_FACTOR)
    # pools convert nothing, and clip
    return least_scale(inputs if operator.name in SUMS else [0.0], clip=clip, bits=bits)
