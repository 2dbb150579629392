"""QuantizeLinear and DequantizeLinear: the scales and integers that a model was trained with."""

from dataclasses import replace

import numpy as np

from qatflow.graph.families import PASS_THROUGH
from qatflow.graph.graph import ActivationScale
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.translation import (
    ConstantReadError,
    Integers,
    Translate,
    Translation,
    UntranslatableError,
    Value,
)

TYPES = (np.dtype(np.int8), np.dtype(np.uint8))
SHIFT = 128
"""What makes a uint8 the int8 of the same real value, if the zero point is shifted as well."""
SHIFT_OF_4_BITS = {"int4": 0, "uint4": 8}
"""The same for constants of 4 bits, by the name of their type."""


def _quantise(to: Translation, node: OnnxNode) -> Value:
    scale, zero = _grid(to, node)
    constant = to.real(node.inputs[0])
    if constant is not None:
        axis = _axis(node, scale, constant.ndim)
        to.quantised[node.outputs[0]] = _rounded(constant.astype(np.float32), scale, zero, axis)
        raise ConstantReadError
    value = to.value(node.inputs[0])
    if scale.size != 1:
        raise UntranslatableError("has a scale per channel for a tensor; the device's kernels have one")
    if zero.dtype not in TYPES:
        raise UntranslatableError(f"makes {zero.dtype}; the device's kernels take int8 (and uint8, shifted)")
    shift = SHIFT if zero.dtype == np.uint8 else 0
    grid = ActivationScale(8, float(scale[0]), int(zero[0]) - shift)
    if not all(reader is node or _makes(to, reader, grid, value.node) for reader in _readers(to, value.node)):
        raise UntranslatableError(
            f"rounds {node.inputs[0]}, which is also read without rounding, or with another scale: quantise it once, "
            "for all its readers"
        )
    _give_scale(to, value.node, grid)
    return replace(value, integers=True)


def _readers(to: Translation, name: str) -> list[OnnxNode | None]:
    """Return the nodes that read a tensor of the graph before it is rounded, under any of its ONNX names."""
    tensors = [tensor for tensor in to.named(name) if not to.values[tensor].integers]
    return [reader for tensor in tensors if to.values[tensor].rounded != name for reader in to.readers[tensor]]


def _makes(to: Translation, node: OnnxNode | None, grid: ActivationScale, name: str) -> bool:
    """Return whether a node rounds to that grid, or only renames the axes of the graph's tensor `name`."""
    if node is None:
        return False
    if node.kind != "QuantizeLinear":
        return node.outputs[0] in to.named(name)
    scale, zero = _grid(to, node)
    shift = SHIFT if zero.dtype == np.uint8 else 0
    return scale.size == 1 and (float(scale[0]), int(zero[0]) - shift) == (grid.scale, grid.zero_point)


def _give_scale(to: Translation, name: str, grid: ActivationScale) -> None:
    """Give a node's tensor a scale; one that only passes values on has it from the tensor before, if that has one."""
    if to.activation_scales.setdefault(name, grid) != grid:
        raise UntranslatableError(f"gives {name} a second scale")
    node = to.node(name)
    if isinstance(node.operation, PASS_THROUGH):
        (source,) = node.inputs
        before = _scale_of(to, source)
        if before == grid:
            del to.activation_scales[name]
        else:  # its int8 kernel writes with the scale that it reads
            to.in_float.add(name)


def _scale_of(to: Translation, name: str) -> ActivationScale | None:
    while name not in to.activation_scales:
        node = to.node(name)
        if not isinstance(node.operation, PASS_THROUGH):
            return None
        (name,) = node.inputs
    return to.activation_scales[name]


def _dequantise(to: Translation, node: OnnxNode) -> Value:
    name = node.inputs[0]
    scale, zero = _grid(to, node)
    stored = to.model.constants.get(name)
    if stored is not None or name in to.quantised:
        known = to.quantised.get(name)
        values = known.values if known is not None else stored
        assert values is not None
        if known is None:
            values, zero = _in_whole_bytes(values), _in_whole_bytes(zero)
        axis = _axis(node, scale, values.ndim)
        integers = Integers(values, scale, np.broadcast_to(zero, scale.shape).astype(np.int64), axis)
        if known is not None and not (
            np.array_equal(known.scale, scale) and np.array_equal(known.zero_point, integers.zero_point)
        ):
            raise UntranslatableError("has another scale than the QuantizeLinear before it")
        to.quantised[node.outputs[0]] = integers
        raise ConstantReadError
    value = to.any_value(name)
    if not value.integers:
        raise UntranslatableError("reads a tensor that was not quantised")
    shift = SHIFT if zero.dtype == np.uint8 else 0
    grid = ActivationScale(8, float(scale[0]), int(zero[0]) - shift)
    if scale.size != 1 or _scale_of(to, value.node) != grid:
        raise UntranslatableError("has another scale than the QuantizeLinear before it")
    return replace(value, integers=False, rounded=value.node)


def _grid(to: Translation, node: OnnxNode) -> tuple[np.ndarray, np.ndarray]:
    """Return scale, float32 [1] or [n], and zero point of the integers' type."""
    if node.attributes.get("block_size", 0):
        raise UntranslatableError("quantises in blocks; known are one scale, or one per output channel")
    scale = to.constant(node, 1, "scale")
    zero = to.constant(node, 2, "zero point")
    assert scale is not None
    scale = np.atleast_1d(scale)
    if scale.dtype != np.float32 or scale.ndim != 1 or not np.all(np.isfinite(scale) & (scale > 0)):
        raise UntranslatableError("its scales must be float32, finite and above 0")
    if zero is None:
        stored = to.model.constants.get(node.inputs[0])
        dequantises = node.kind == "DequantizeLinear" and stored is not None
        zero = np.zeros(scale.shape, stored.dtype if dequantises and stored is not None else np.uint8)
    return scale, np.atleast_1d(zero)


def _in_whole_bytes(integers: np.ndarray) -> np.ndarray:
    """Return constants of 4 bits as int8, and others as they are; a uint4 is shifted, and so is its zero point."""
    if integers.dtype.name not in SHIFT_OF_4_BITS:
        return integers
    return (integers.astype(np.int16) - SHIFT_OF_4_BITS[integers.dtype.name]).astype(np.int8)


def _axis(node: OnnxNode, scale: np.ndarray, rank: int) -> int | None:
    return None if scale.size == 1 else int(node.attributes.get("axis", 1)) % rank


def _rounded(constant: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int | None) -> Integers:
    """Return a float constant rounded to its grid, ties to even, as ONNX defines QuantizeLinear."""
    if zero.dtype not in TYPES:
        raise UntranslatableError(f"makes {zero.dtype} of a constant; only int8 and uint8 are known")
    shape = [1] * constant.ndim
    if axis is not None:
        shape[axis] = -1
    zero = np.broadcast_to(zero, scale.shape)
    limits = np.iinfo(zero.dtype)
    steps = np.rint(constant / scale.reshape(shape)) + zero.reshape(shape).astype(np.float32)
    return Integers(np.clip(steps, limits.min, limits.max).astype(zero.dtype), scale, zero.astype(np.int64), axis)


TRANSLATIONS: dict[str, Translate] = {"QuantizeLinear": _quantise, "DequantizeLinear": _dequantise}
