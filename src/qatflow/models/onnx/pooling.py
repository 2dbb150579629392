"""ONNX' pools and means over height and width."""

from collections.abc import Sequence
from dataclasses import replace

from qatflow.graph.kinds import same_padding
from qatflow.graph.operations import (
    AveragePool,
    Concat,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    MaxPool,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Softmax,
)
from qatflow.graph.written_out import MeanOfLast, as_operation
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.kernels import padded, pads_of, pair
from qatflow.models.onnx.shapes import constant_integers
from qatflow.models.onnx.translation import PICTURE, Translate, Translation, UntranslatableError, Value, reshaped

NEVER_NEGATIVE = (Relu, Relu6, Sigmoid, Softmax)
PASSED_ON = (MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool, Pad, Reshape, Dropout, Identity, Concat)
"""These are never negative if none of their inputs is."""


def _pool(kind: type[MaxPool] | type[AveragePool]) -> Translate:
    def translate(to: Translation, node: OnnxNode) -> Value:
        value = to.any_value(node.inputs[0])
        if len(value.shape) != 4 or (value.integers and kind is AveragePool):
            raise UntranslatableError("reads no picture of real values")
        value = to.laid_out(value, PICTURE)
        window, strides, dilations = pair(node, "kernel_shape"), pair(node, "strides"), pair(node, "dilations")
        if dilations != (1, 1):
            raise UntranslatableError("has a dilated window")
        if len(node.outputs) > 1 and node.outputs[1]:
            raise UntranslatableError("returns the places of the values as well")
        given = pads_of(node, value.sizes, window, strides)
        shape = to.model.shapes[node.outputs[0]]
        pads = _with_last_window(given, value.sizes, window, strides, shape[2:])
        same = [same_padding(*axis) for axis in zip(value.sizes[:2], window, strides, strict=True)]
        is_same = any(pads) and same == [(pads[0], pads[2]), (pads[1], pads[3])]
        if any(pads) and kind is AveragePool:
            # zeros of `same` padding do not count in TensorFlow
            counted = bool(node.attributes.get("count_include_pad", 0))
            if pads != given if counted else not is_same:
                raise UntranslatableError(
                    f"averages over windows that reach beyond the picture, with pads {given}, ceil_mode "
                    f"{node.attributes.get('ceil_mode', 0)} and count_include_pad {int(counted)}: the device has no "
                    "such pool"
                )
            if counted:
                source = to.add(f"{node.name}/pad", Pad((pads[0], pads[2]), (pads[1], pads[3])), (value.node,))
                return Value(to.add(node.name, kind(window, strides, "valid"), (source,)), shape, PICTURE)
        if any(pads) and kind is MaxPool and not is_same and not never_negative(to, value.node):
            _check_windows(pads, value.sizes, window, strides, shape[2:])
            around = Pad((pads[0], pads[2]), (pads[1], pads[3]), lowest=True)
            value = replace(value, node=to.add(f"{node.name}/pad", around, (value.node,)))
            pads = [0, 0, 0, 0]
        source, padding = padded(to, node.name, value, pads, window, strides)
        return replace(
            value, node=to.add(node.name, kind(window, strides, padding), (source,)), shape=shape, axes=PICTURE
        )

    return translate


def _with_last_window(
    pads: Sequence[int], sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], out: Sequence[int]
) -> list[int]:
    """Return the pads with what `ceil_mode` adds below and right, so that the last window is whole."""
    result = list(pads)
    for axis in (0, 1):
        covered = (out[axis] - 1) * strides[axis] + window[axis]
        result[axis + 2] = max(pads[axis + 2], covered - sizes[axis] - pads[axis])
    return result


def _check_windows(
    pads: Sequence[int], sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], out: Sequence[int]
) -> None:
    """Raise if a window covers nothing but padding: the largest of no pixels is no number."""
    for axis in (0, 1):
        last = (out[axis] - 1) * strides[axis] - pads[axis]  # where the last window begins
        if pads[axis] >= window[axis] or last >= sizes[axis]:
            raise UntranslatableError(f"has windows with nothing but padding {list(pads)} in them")


def never_negative(to: Translation, name: str) -> bool:
    """Return whether no value of a node's tensor can be below zero."""
    node = to.node(name)
    scale = to.activation_scales.get(name)
    if scale is not None and scale.zero_point == -(2 ** (scale.bits - 1)):
        return True
    if isinstance(node.operation, NEVER_NEGATIVE):
        return True
    return isinstance(node.operation, PASSED_ON) and all(never_negative(to, source) for source in node.inputs)


def _global(kind: type[GlobalAveragePool] | type[GlobalMaxPool]) -> Translate:
    def translate(to: Translation, node: OnnxNode) -> Value:
        value = to.picture(node.inputs[0])
        return replace(
            value, node=to.add(node.name, kind(keepdims=True), (value.node,)), shape=(*value.shape[:2], 1, 1)
        )

    return translate


def _over_rows(
    to: Translation, node: OnnxNode, value: Value, kind: type[GlobalAveragePool] | type[GlobalMaxPool]
) -> Value:
    """Add a pool over the rows of a matrix, which is a picture one pixel wide."""
    keeps = bool(node.attributes.get("keepdims", 1))
    rows, channels = value.sizes
    picture = to.add(f"{node.name}/picture", Reshape((rows, 1, channels)), (value.node,))
    shape = to.model.shapes[node.outputs[0]]
    if not keeps:
        return Value(to.add(node.name, kind(keepdims=False), (picture,)), shape, (1,))
    pixel = to.add(f"{node.name}/pixel", kind(keepdims=True), (picture,))
    return replace(value, node=to.add(node.name, Reshape((1, channels)), (pixel,)), shape=shape)


def _reduce(kind: type[GlobalAveragePool] | type[GlobalMaxPool]) -> Translate:
    def translate(to: Translation, node: OnnxNode) -> Value:
        value = to.value(node.inputs[0])
        axes = node.attributes.get("axes")  # an input since version 18
        if axes is None:
            axes = constant_integers(to, node, 1, "axes")
        rank = len(value.shape)
        last = axes is not None and [axis % rank for axis in axes] == [value.axes[-1]] and value.order is None
        if last and kind is GlobalAveragePool and node.attributes.get("keepdims", 1):
            shape = tuple(1 if axis == value.axes[-1] else size for axis, size in enumerate(value.shape))
            return replace(value, node=to.add(node.name, as_operation(MeanOfLast()), (value.node,)), shape=shape)
        if rank == 3 and axes is not None and [axis % 3 for axis in axes] == [value.axes[0]]:
            return _over_rows(to, node, value, kind)
        value = to.picture(node.inputs[0])
        if axes is None or sorted(axis % 4 for axis in axes) != [2, 3]:
            raise UntranslatableError(f"is over the axes {axes}; only over height and width, 2 and 3")
        pooled = replace(
            value, node=to.add(node.name, kind(keepdims=True), (value.node,)), shape=(*value.shape[:2], 1, 1)
        )
        if node.attributes.get("keepdims", 1):
            return pooled
        return reshaped(to, f"{node.name}/flat", pooled, value.shape[:2])

    return translate


TRANSLATIONS: dict[str, Translate] = {
    "MaxPool": _pool(MaxPool),
    "AveragePool": _pool(AveragePool),
    "GlobalAveragePool": _global(GlobalAveragePool),
    "GlobalMaxPool": _global(GlobalMaxPool),
    "ReduceMean": _reduce(GlobalAveragePool),
    "ReduceMax": _reduce(GlobalMaxPool),
}
