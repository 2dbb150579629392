"""ONNX' operators that move values: reshapes, transposes, padding, enlargement and concatenation."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qatflow.graph.operations import Concat, Crop, Pad, Reshape, Resize, UpSample
from qatflow.models.onnx.folded import OnnxNode
from qatflow.models.onnx.translation import (
    ConstantReadError,
    Translate,
    Translation,
    UntranslatableError,
    Value,
    aligned,
    reshaped,
)  # fmt: skip


def constant_integers(to: Translation, node: OnnxNode, place: int, what: str) -> list[int] | None:
    """Return a constant input of whole numbers; None if it is left out."""
    values = to.constant(node, place, what)
    return None if values is None else [int(value) for value in np.asarray(values).ravel()]


def _reshape(to: Translation, node: OnnxNode) -> Value:
    shape = to.model.shapes.get(node.outputs[0])
    if shape is None:
        raise UntranslatableError("its shape depends on the picture's values")
    return reshaped(to, node.name, to.any_value(node.inputs[0]), shape)


def _transpose(to: Translation, node: OnnxNode) -> Value:
    stored = to.quantised.get(node.inputs[0])
    if stored is not None:  # the kernel of a dense layer
        order = node.attributes.get("perm", range(stored.values.ndim)[::-1])
        axis = None if stored.axis is None else list(order).index(stored.axis)
        to.quantised[node.outputs[0]] = replace(stored, values=stored.values.transpose(order), axis=axis)
        raise ConstantReadError
    value = to.any_value(node.inputs[0])
    rank = len(value.shape)
    order = [int(axis) for axis in node.attributes.get("perm", range(rank)[::-1])]
    if order[0] != 0:
        raise UntranslatableError("moves the batch")
    if value.order is not None:
        raise UntranslatableError("transposes a flattened picture")
    axes = tuple(order.index(axis) for axis in value.axes)
    return replace(value, shape=tuple(value.shape[axis] for axis in order), axes=axes)


def _same(to: Translation, node: OnnxNode) -> Value:
    if node.inputs[0] in to.quantised:  # exporters store equal arrays once
        to.quantised[node.outputs[0]] = to.quantised[node.inputs[0]]
        raise ConstantReadError
    return to.any_value(node.inputs[0])


def _dropout(to: Translation, node: OnnxNode) -> Value:
    training = to.constant(node, 2, "training mode")
    if training is not None and bool(training):
        raise UntranslatableError("is in training mode: export the model in evaluation mode (model.eval())")
    return to.any_value(node.inputs[0])


def _cast(to: Translation, node: OnnxNode) -> Value:
    from onnx import TensorProto

    if node.attributes.get("to") != TensorProto.FLOAT:
        raise UntranslatableError("converts to another type than float32")
    return to.any_value(node.inputs[0])


def _concat(to: Translation, node: OnnxNode) -> Value:
    values = [to.value(name) for name in node.inputs]
    if len(values) == 1:
        return values[0]
    first = values[0]
    for place in range(1, len(values)):
        first, values[place] = aligned(to, first, values[place])
    if first != values[0] or any(value.axes != first.axes for value in values):
        raise UntranslatableError("joins tensors whose axes lie in different orders here: a transpose would be needed")
    axis = first.our_axis(int(node.attributes["axis"]))
    if first.order is not None:
        raise UntranslatableError("joins flattened pictures")
    name = to.add(node.name, Concat(axis - len(first.axes)), tuple(value.node for value in values))
    return Value(name, to.model.shapes[node.outputs[0]], first.axes)


def _pad(to: Translation, node: OnnxNode) -> Value:
    value = to.picture(node.inputs[0])
    pads = constant_integers(to, node, 1, "pads")
    number = to.constant(node, 2, "value")
    kind = node.attributes.get("mode", "constant")
    if pads is None or kind != "constant" or (number is not None and np.any(number != 0)):
        raise UntranslatableError(f"pads with {kind if kind != 'constant' else number}; only zeros are known")
    axes = constant_integers(to, node, 3, "axes")
    places = range(4) if axes is None else [axis % 4 for axis in axes]
    half = len(pads) // 2
    amounts = {place: (pads[i], pads[half + i]) for i, place in enumerate(places)}
    if any(any(amounts.get(axis, (0, 0))) for axis in (0, 1)):
        raise UntranslatableError("pads the batch or the channels; only rows and columns are known")
    rows, columns = amounts.get(2, (0, 0)), amounts.get(3, (0, 0))
    source = value.node
    cut = [(max(-before, 0), max(-after, 0)) for before, after in (rows, columns)]
    if any(map(any, cut)):
        source = to.add(f"{node.name}/crop", Crop(cut[0], cut[1]), (source,))
    added = [(max(before, 0), max(after, 0)) for before, after in (rows, columns)]
    if any(map(any, added)):
        source = to.add(node.name, Pad(added[0], added[1]), (source,))
    return replace(value, node=source, shape=to.model.shapes[node.outputs[0]])


def _slice(to: Translation, node: OnnxNode) -> Value:
    value = to.any_value(node.inputs[0])
    shape = to.model.shapes.get(node.outputs[0])
    starts = constant_integers(to, node, 1, "starts")
    axes = constant_integers(to, node, 3, "axes")
    steps = constant_integers(to, node, 4, "steps")
    if shape is None or starts is None or any(step != 1 for step in steps or ()):
        raise UntranslatableError("is computed, or leaves out pixels in between")
    if shape == value.shape:
        return value
    places = range(len(starts)) if axes is None else [axis % len(value.shape) for axis in axes]
    cut = {}
    for axis, start in zip(places, starts, strict=True):
        size = value.shape[axis]
        first = min(max(start + size if start < 0 else start, 0), size)
        cut[axis] = (first, size - first - shape[axis])
    return _part(to, node.name, value, cut, shape)


def _part(
    to: Translation, name: str, value: Value, cut: Mapping[int, tuple[int, int]], shape: tuple[int, ...]
) -> Value:
    """Return part of a value.

    Args:
        to: the translation.
        name: of the node that cuts it out.
        value: the value.
        cut: how many are left out before and behind, by ONNX axis.
        shape: of the part.
    """
    if any(cut.get(0, (0, 0))) or len(shape) != len(value.shape) or not 2 <= len(shape) <= 4 or value.order is not None:
        raise UntranslatableError("leaves out pictures, or values of a flattened picture, or has more than 4 axes")
    part = replace(value, shape=shape)
    amounts = [cut.get(axis, (0, 0)) for axis in value.axes]
    amounts = [(0, 0)] * (3 - len(amounts)) + amounts
    source = value.node
    if len(value.axes) < 3:  # a vector or a matrix is a picture of one row
        source = to.add(f"{name}/picture", Reshape((1,) * (3 - len(value.axes)) + value.sizes), (source,))
        source = to.add(f"{name}/part", Crop(*amounts), (source,))
        return replace(part, node=to.add(name, Reshape(part.sizes), (source,)))
    return replace(part, node=to.add(name, Crop(*amounts), (source,)))


def _split(to: Translation, node: OnnxNode) -> Value:
    value = to.any_value(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(value.shape)
    shapes = [to.model.shapes.get(name) for name in node.outputs]
    if any(shape is None for shape in shapes):
        raise UntranslatableError("its parts have no fixed sizes")
    parts, first = [], 0
    for place, (name, shape) in enumerate(zip(node.outputs, shapes, strict=True)):
        assert shape is not None
        cut = (first, value.shape[axis] - first - shape[axis])
        first += shape[axis]
        if any(cut) and (place == 0 or to.readers.get(name)):
            parts.append(_part(to, f"{node.name}/{place}", value, {axis: cut}, shape))
        else:
            parts.append(value)
    to.values |= {name: part for name, part in zip(node.outputs, parts, strict=True) if to.readers.get(name)}
    return parts[0]


def _resize(to: Translation, node: OnnxNode) -> Value:
    value = to.picture(node.inputs[0])
    shape = to.model.shapes[node.outputs[0]]
    attributes = node.attributes
    mode, centres = attributes.get("mode", "nearest"), attributes.get("coordinate_transformation_mode", "half_pixel")
    factors = [new // old for new, old in zip(shape[2:], value.shape[2:], strict=True)]
    scales = to.constant(node, 2, "scales")
    if scales is not None and scales.size and np.any(scales * np.asarray(value.shape) != np.asarray(shape)):
        raise UntranslatableError(f"has the scales {scales.tolist()}, which give no whole number of pixels")
    whole = all(
        old * factor == new and factor for old, factor, new in zip(value.shape[2:], factors, shape[2:], strict=True)
    )
    # with a whole factor these pick the same pixels: i // factor, or the nearest centre, which is never a tie
    nearest = mode == "nearest" and (
        (centres == "asymmetric" and attributes.get("nearest_mode", "round_prefer_floor") == "floor")
        or (
            centres in ("half_pixel", "pytorch_half_pixel")
            and attributes.get("nearest_mode", "round_prefer_floor").startswith("round")
        )
    )
    linear = mode == "linear" and centres in ("half_pixel", "pytorch_half_pixel") and min(shape[2:]) > 1
    if shape[:2] != value.shape[:2] or not (linear or (nearest and whole)) or attributes.get("antialias", 0):
        raise UntranslatableError(
            f"makes {list(shape[2:])} of {list(value.shape[2:])} pixels ({mode}, {centres}); known: linear "
            "between pixel centres (align_corners=False), and the nearest pixel for whole factors"
        )
    if shape == value.shape:
        return value
    operation = UpSample((factors[0], factors[1]), linear) if whole else Resize(shape[2], shape[3], linear)
    name = to.add(node.name, operation, (value.node,))
    return replace(value, node=name, shape=shape)


TRANSLATIONS: dict[str, Translate] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose,
    "Identity": _same,
    "Dropout": _dropout,
    "Cast": _cast,
    "Concat": _concat,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Resize": _resize,
}
