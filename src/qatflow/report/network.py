"""The network that ships, operator by operator in the order of execution, with all that was measured of each."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Literal

import numpy as np

from qatflow.device.results.report import OperatorTime
from qatflow.evaluate.layers import InspectedLayer
from qatflow.graph.counts import of_kernel, of_product
from qatflow.graph.shifted import without_shared_zeros
from qatflow.sensitivity.forms import INTEGERS, layer_name, layer_of
from qatflow.sensitivity.measure import LayerSensitivity, Sensitivities
from qatflow.tflite.read import Operator, Tensor, operators

Role = Literal["integer", "float", "convert"]
ROLES: Mapping[str, Role] = {"QUANTIZE": "convert", "DEQUANTIZE": "convert"}
BYTES = {"FLOAT32": 4, "INT32": 4, "INT64": 8, "INT16": 2, "FLOAT16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1, "INT4": 0.5}
KERNELS = {
    ("CONV_2D", "FULLY_CONNECTED"): r"^Convolution\b(?!.*(DWConv|Depthwise))|^Fully Connected",
    ("DEPTHWISE_CONV_2D",): r"^Depthwise|^Convolution\b.*DWConv",
    ("QUANTIZE", "DEQUANTIZE"): r"^Convert",
    ("TRANSPOSE_CONV",): r"^Deconvolution|^Transpose Conv",
    ("ADD",): r"^Add\b",
    ("MUL",): r"^Mul",
    ("SUB",): r"^Sub",
    ("MEAN",): r"^(Mean|Reduce(?! M)|Global Average|Sum)",
    ("REDUCE_MAX",): r"^Reduce Max",
    ("AVERAGE_POOL_2D",): r"^Average Pooling",
    ("MAX_POOL_2D",): r"^Max Pooling",
    ("SOFTMAX",): r"^Soft ?[mM]ax",
    ("LOGISTIC",): r"^Sigmoid",
    ("RESHAPE",): r"^Static Reshape",
    ("CONCATENATION",): r"^Concat",
    ("PAD", "PADV2"): r"^(Constant )?Pad",
    ("RELU", "RELU6"): r"^Clamp",
    ("PRELU",): r"^PReLU",
    ("LEAKY_RELU",): r"^LeakyReLU",
    ("HARD_SWISH",): r"^HardSwish",
    ("TANH",): r"^TanH",
    ("ELU",): r"^ELU",
    ("GELU",): r"^(Approx)?GELU",
    ("MAXIMUM",): r"^Maximum",
    ("MINIMUM",): r"^Minimum",
    ("DIV",): r"^Divide",
    ("ABS",): r"^Abs",
    ("EXP",): r"^Exp",
    ("LOG",): r"^Log",
    ("NEG",): r"^Negate",
    ("SLICE",): r"^Slice",
    ("TRANSPOSE",): r"^Transpose(?! Conv)",
    ("RESIZE_BILINEAR",): r"^Resize Bilinear",
}
"""What XNNPACK calls the kernels of some operators; only where the numbers of both agree are they matched, in order.

It computes a convolution of 1 × 1 pixels as a dense layer, so both are one kind. The kernels of all other operators are
LiteRT's own, which have the operators' names.
"""


NOTHING = r"(?!)"
"""Matches no name."""


@dataclass(frozen=True)
class NetworkNode:
    """An operator of the .tflite file that ships.

    Attributes:
        number: its place in the order of execution, from 0 on.
        name: of the layer: that of its output tensor.
        tensor: full name of its output tensor.
        operator: builtin name.
        inputs: numbers of the operators that it reads from; −1 is the model's input.
        window: height and width of its kernel; empty where it has none.
        shape: of its output, without the batch.
        type: of its output's values.
        role: `integer`, `float`, or `convert` between grids, or between integers and float.
        activation: what is fused into it; empty if nothing is.
        weight_bits: least width that holds all its weights, or all of them divided by one power of two; None where it
            has no integer kernel.
        weight_bytes: of kernel and bias.
        output_bytes: of its output.
        multiply_adds: for one picture, as in `graph.counts`; 0 where it has no kernel.
        sqnr_db: signal to quantisation noise up to here; None where it was not measured, as all below.
        rounding_db: the same for the noise of this output's grid alone.
        clipped: share of values beyond the grid.
        alone_kl: KL divergence of the outputs from float's, in nats, with this layer alone quantised.
        alone_drop: loss of top-1 there, a share of 1.
        without_kl: KL divergence with every layer quantised but this one.
        ms: mean time on the first device.
        instructions: executed there for one picture with one thread; where the emulator counted them.
    """

    number: int
    name: str
    tensor: str
    operator: str
    inputs: tuple[int, ...]
    window: tuple[int, ...]
    shape: tuple[int, ...]
    type: str
    role: Role
    activation: str
    weight_bits: int | None
    weight_bytes: int
    output_bytes: int
    multiply_adds: int
    sqnr_db: float | None
    rounding_db: float | None
    clipped: float | None
    alone_kl: float | None
    alone_drop: float | None
    without_kl: float | None
    ms: float | None
    instructions: int | None


def network(
    content: bytes,
    layers: Sequence[InspectedLayer],
    profile: Sequence[OperatorTime],
    sensitivities: Sensitivities | None = None,
) -> tuple[NetworkNode, ...]:
    """Return the operators.

    Args:
        content: the .tflite file that ships.
        layers: the layers from `inspect`; none for a model that came quantised.
        profile: times of the model's operators on the first device; none if the gate is closed.
        sensitivities: what each layer's quantisation costs; None if that was not measured.
    """
    listed = operators(content)
    made_by = {tensor.name: number for number, operator in enumerate(listed) for tensor in operator.outputs}
    measured = {layer.name: layer for layer in layers}
    costs = {layer.name: layer for layer in sensitivities.layers} if sensitivities is not None else {}
    times = operator_times(listed, profile)
    return tuple(
        _node(number, operator, made_by, measured, costs, times.get(number)) for number, operator in enumerate(listed)
    )


def operator_times(listed: Sequence[Operator], profile: Sequence[OperatorTime]) -> dict[int, OperatorTime]:
    """Return the times of those operators whose kernels can be told apart in LiteRT's profile, by their numbers."""
    found: dict[int, OperatorTime] = {}
    others = {operator.name for operator in listed} - {name for kinds in KERNELS for name in kinds}
    for kinds, pattern in (KERNELS | {(name,): NOTHING for name in sorted(others)}).items():
        numbers = [number for number, operator in enumerate(listed) if operator.name in kinds]
        # LiteRT's own kernels have the names of the operators
        kernels = [entry for entry in profile if entry.kernel in kinds or re.search(pattern, entry.kernel)]
        if len(numbers) == len(kernels):
            found |= dict(zip(numbers, kernels, strict=True))
    return found


def _node(
    number: int,
    operator: Operator,
    made_by: Mapping[str, int],
    measured: Mapping[str, InspectedLayer],
    costs: Mapping[str, LayerSensitivity],
    time: OperatorTime | None,
) -> NetworkNode:
    output = operator.outputs[0]
    name = layer_name(output.name)
    # a float tensor behind the last integers has the name of a layer that was measured before it
    layer = measured.get(name) if output.dtype in INTEGERS else None
    cost = costs.get(layer_of(operator)) if output.dtype in INTEGERS else None
    role: Role = ROLES.get(operator.name) or ("float" if output.dtype == "FLOAT32" else "integer")
    weights = [tensor for tensor in (operator.kernel, operator.bias) if tensor is not None]
    return NetworkNode(
        number=number,
        name=name.partition(";")[0],
        tensor=output.name,
        operator=operator.name,
        inputs=tuple(_sources(operator, made_by)),
        window=_window(operator),
        shape=output.shape[1:],
        type=output.dtype.lower(),
        role=role,
        activation="" if operator.activation == "NONE" else operator.activation,
        weight_bits=_bits(operator.kernel),
        weight_bytes=sum(_bytes(tensor) for tensor in weights),
        output_bytes=_bytes(output),
        multiply_adds=multiply_adds(operator),
        sqnr_db=None if layer is None else layer.sqnr_db,
        rounding_db=None if layer is None else layer.rounding_db,
        clipped=None if layer is None else layer.clipped,
        alone_kl=None if cost is None else cost.alone_kl,
        alone_drop=None if cost is None else cost.alone_drop,
        without_kl=None if cost is None else cost.without_kl,
        ms=None if time is None else time.mean_ms,
        instructions=None if time is None else time.instructions,
    )


def _sources(operator: Operator, made_by: Mapping[str, int]) -> Iterator[int]:
    for tensor in operator.inputs:
        if tensor is not None and tensor.data is None:
            yield made_by.get(tensor.name, -1)


def _window(operator: Operator) -> tuple[int, ...]:
    kernel = operator.kernel
    return () if kernel is None or operator.name == "FULLY_CONNECTED" else kernel.shape[1:3]


def multiply_adds(operator: Operator) -> int:
    """Return the multiply-adds of an operator for one picture, by the rules of `graph.counts`."""
    output, source = operator.outputs[0], operator.source
    assert source is not None
    if operator.name == "BATCH_MATMUL":
        return of_product(output.shape, source.shape[-1])
    if operator.kernel is None:
        return 0
    places = source if operator.name == "TRANSPOSE_CONV" else output
    return of_kernel(prod(operator.kernel.shape), places.shape[:-1])


def _bits(kernel: Tensor | None) -> int | None:
    if kernel is None or kernel.dtype not in ("INT8", "INT4") or kernel.data is None:
        return None
    integers, _ = without_shared_zeros(kernel.data.astype(np.int16))
    largest = int(np.abs(integers).max(initial=0))
    return max(2, min(largest, 127).bit_length() + 1)


def _bytes(tensor: Tensor) -> int:
    return ceil(prod(tensor.shape) * BYTES.get(tensor.dtype, 4))
