"""Families of operations: what the device does with each kind, and which kinds have no int8 form."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Literal

from qatflow.graph.operations import (
    OPERATIONS,
    Attention,
    AveragePool,
    BatchNorm,
    Concat,
    Crop,
    Dropout,
    Elu,
    Exp,
    Gelu,
    GlobalMaxPool,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Identity,
    LayerNorm,
    Maximum,
    MaxPool,
    Minimum,
    Mish,
    Operation,
    Pad,
    Permute,
    Relu,
    Relu6,
    Reshape,
    Resize,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu,
    UnitNorm,
    UpSample,
)

# Their kernels can clip what they write, so an activation can be fused into them.
CLIPPING: tuple[type, ...] = tuple(
    kind for kind in OPERATIONS.values() if any(field.name == "activation" for field in fields(kind))
)

# The device computes these together with the layer before them.
FUSED = (BatchNorm, Relu, Relu6)

# These do nothing once training is over: their neighbours are fused as if they were not there.
REMOVED = (Dropout, Identity)

# The output has the scale of the input: values are moved, picked or averaged, and none leaves the range.
PASS_THROUGH = (
    Pad, Crop, Reshape, Permute, Dropout, Identity, MaxPool, AveragePool, GlobalMaxPool, UpSample, Resize,
)  # fmt: skip

Rounding = Literal["up", "away"]
"""Which integer a tie becomes: the larger one, or the one farther from the integer 0."""


def rounding(operation: Operation) -> Rounding | None:
    """Return how the int8 kernel of an operation in `PASS_THROUGH` rounds; None if it writes no value of its own.

    Means lie between the integers of the input's grid. TensorFlow Lite's pool rounds ties away from 0, XNNPACK's
    bilinear resizing rounds them up. XNNPACK's weights are rounded to 2^-11, which is exact for factors of 2.
    """
    if isinstance(operation, AveragePool):
        return "away"
    return "up" if isinstance(operation, UpSample | Resize) and operation.bilinear else None


# These run in float, whatever is quantised around them. A final softmax is in float so that small probabilities
# survive; exponentials, roots and jumps elsewhere have no int8 form that training could simulate.
FLOAT_ONLY = (
    Elu, Selu, Exp, Softplus, Softsign, Mish, Gelu, ThresholdedRelu, Softmax,
    LayerNorm, GroupNorm, UnitNorm, Attention,
)  # fmt: skip

# The int8 kernels of these copy or pick values as they are, so their inputs need the scale of their output.
ONE_GRID = (Concat, Maximum, Minimum)

# Scale and zero point in which the kernels of an operation always write: the int8 ones, and the int16 ones.
FIXED_GRID: dict[type, tuple[float, int]] = {
    Sigmoid: (1 / 256, -128),
    Tanh: (1 / 128, 0),
    HardSigmoid: (float.fromhex("0x1.010102p-8"), -128),
}
FIXED_GRID_16: dict[type, tuple[float, int]] = {Sigmoid: (1 / 32768, 0), Tanh: (1 / 32768, 0)}

# These have an int8 kernel, and none for int16.
NO_INT16 = (HardSwish, HardSigmoid)


def fixed_grid(operation: Operation, bits: int) -> tuple[float, int] | None:
    """Return scale and zero point in which an operation's kernel of that width always writes; None if in any."""
    grids = {8: FIXED_GRID, 16: FIXED_GRID_16}.get(bits, {})
    return grids.get(type(operation))


def not_quantised(layers: Mapping[str, str]) -> str:
    """Return what to do about layers without an int8 form: the kind of each operation, by node name."""
    return (
        f"these layers cannot be quantised: {with_kinds(layers)}. Set model.keep_in_float to auto, or name them there, "
        "to run them in float on the device, or replace them"
    )


def with_kinds(layers: Mapping[str, str]) -> str:
    """Return the layers with the kind of each, which the mapping has by node name."""
    return ", ".join(f"{name} ({kind})" for name, kind in layers.items())
