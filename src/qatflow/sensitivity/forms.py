"""The quantised form of each layer of a float .tflite model, as an int8 model of the same network has it.

The integers of a kernel are those of the int8 model if they are a rounding of the float kernel, each within a step of
it, as after quantisation without training. Training moves weights further than that. A trained kernel in a network of
untrained ones would measure how far it has moved; so for such a layer the float kernel is rounded instead, to as many
integers as the int8 model has, with one scale where it has one, and one per channel where it has those.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.shifted import without_shared_zeros
from qatflow.tflite.read import WIDE_FORM, Operator, Tensor, inputs, operators
from qatflow.tflite.stepwise import Form

QUANTISED_INPUTS = ("/int8", "/int16")
"""Suffixes of the names of a float tensor's integers."""
INTEGERS = ("INT8", "INT16")
ON_ITS_INPUTS_GRID = {
    "RESHAPE", "MAX_POOL_2D", "PAD", "PADV2", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SQUEEZE", "EXPAND_DIMS",
    "RESIZE_NEAREST_NEIGHBOR", "TILE",
}  # fmt: skip
"""Operators that move or pick integers, so that none is rounded again."""
SLACK = 1e-3
"""Of a step: float32 scales are products of others."""


@dataclass(frozen=True)
class LayerForm:
    """A layer that the int8 model quantises.

    Attributes:
        name: of its tensor in the float model.
        operator: builtin name.
        form: how it computes once quantised.
        trained: whether its kernel is no rounding of the float one, which was rounded in its place.
    """

    name: str
    operator: str
    form: Form
    trained: bool


def layer_forms(float_model: bytes, int8_model: bytes) -> list[LayerForm]:
    """Return the layers whose quantisation rounds something, in the order of execution.

    Args:
        float_model: float .tflite of the same network, whose tensors have the same names and shapes.
        int8_model: int8 .tflite.

    Raises:
        UserError: the two models share no tensor.
    """
    real = {operator.outputs[0].name: operator for operator in operators(float_model)}
    sources = {tensor.name for tensor in inputs(float_model)}
    forms: dict[str, LayerForm] = {}
    every = operators(int8_model)
    wide = {o.outputs[0].name: o for o in every if o.outputs[0].name.endswith(WIDE_FORM)}
    for operator in every:
        output, source = operator.outputs[0], operator.source
        name = layer_of(operator)
        if output.dtype not in INTEGERS or not (name in real or name in sources):
            continue
        if operator.name in ON_ITS_INPUTS_GRID and operator.kernel is None:
            continue
        if operator.name == "QUANTIZE" and source is not None:
            operator = wide.get(source.name, operator)
        grid = (float(output.scale[0]), int(output.zero_point[0]))
        alike = name in real and real[name].name == operator.name
        weights, trained = _weights(real[name], operator) if alike else ({}, False)
        shown = real[name].name if name in real else operator.name
        forms[name] = LayerForm(name, shown, Form(weights, grid, output.dtype), trained)
    if not forms:
        raise UserError("the float and the int8 model share no tensor: are they of one network?")
    return list(forms.values())


def layer_of(operator: Operator) -> str:
    """Return the name of the float tensor whose integers an operator of an int8 model writes."""
    source = operator.source
    if operator.name == "QUANTIZE" and source is not None and source.dtype == "FLOAT32":
        return source.name  # ai-edge-quantizer has names of its own for what is quantised
    return layer_name(operator.outputs[0].name)


def layer_name(tensor: str) -> str:
    """Return the name of the layer whose integers a tensor of an int8 model has."""
    for suffix in QUANTISED_INPUTS:
        tensor = tensor.removesuffix(suffix)
    return tensor


def _weights(real: Operator, quantised: Operator) -> tuple[Mapping[int, np.ndarray], bool]:
    """Return the real values of the integers of the constants by their place, and whether the kernel was trained."""
    both = enumerate(zip(real.inputs, quantised.inputs, strict=False))
    constants = ((place, one, other) for place, (one, other) in both if one is not None and other is not None)
    pairs = {
        place: (one.data, other)
        for place, one, other in constants
        if one.dtype == "FLOAT32" and one.data is not None and other.scale.size
    }
    shipped = {place: _real_values(tensor) for place, (_, tensor) in pairs.items() if tensor.data is not None}
    kernels = {place: pair for place, pair in pairs.items() if pair[1].dtype != "INT32"}
    if all(place in shipped and _is_rounding(shipped[place], *pair) for place, pair in kernels.items()):
        return shipped, False
    return {place: _rounded(*pair) for place, pair in kernels.items()}, True


def _real_values(tensor: Tensor) -> np.ndarray:
    assert tensor.data is not None
    values: np.ndarray = tensor.data.astype(np.float32) * _along(tensor.scale, tensor)
    return values.astype(np.float32)


def _is_rounding(shipped: np.ndarray, real: np.ndarray, tensor: Tensor) -> bool:
    _, shift = _least_integers(tensor)
    return bool((np.abs(shipped - real) <= _along(tensor.scale, tensor) * 2**shift * (1 + SLACK)).all())


def _rounded(real: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return the float kernel on as many integers as the tensor has, by its own largest magnitudes."""
    end = 7 if tensor.data is None else int(np.abs(_least_integers(tensor)[0]).max(initial=1))
    end = 2 ** end.bit_length() - 1
    others = tuple(axis for axis in range(real.ndim) if tensor.scale.size == 1 or axis != tensor.axis)
    largest = np.abs(real).max(axis=others, keepdims=True)
    scale = np.maximum(largest, np.finfo(np.float32).tiny) / end
    values: np.ndarray = np.clip(np.rint(real / scale), -end, end) * scale
    return values.astype(np.float32)


def _least_integers(tensor: Tensor) -> tuple[np.ndarray, int]:
    """Return a kernel's integers without the power of two that its bias's steps need, and the exponent of that."""
    assert tensor.data is not None
    if tensor.dtype != "INT8":
        return tensor.data, 0
    integers, shift = without_shared_zeros(tensor.data)
    return integers.astype(np.int32), shift


def _along(scale: np.ndarray, tensor: Tensor) -> np.ndarray:
    shape = [1] * len(tensor.shape)
    if scale.size > 1:
        shape[tensor.axis] = scale.size
    return scale.reshape(shape)
