"""The graph of an ONNX model under construction, and how its tensors lie in ours.

ONNX has channels before height and width, and our graph behind them. No tensor is transposed for that: each value knows
which ONNX axis each of our axes is. A Transpose only renames the axes, and so do most reshapes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from qatflow.graph.graph import ActivationScale, Node, WeightScale
from qatflow.graph.names import free_name
from qatflow.graph.operations import Operation, Permute, Reshape
from qatflow.models.onnx.folded import Folded, OnnxNode

ALIASES = {"image", "fc_0.tmp_2"}
"""PaddleSlim's names for a graph's input and output, which no other node may have."""
PICTURE = (2, 3, 1)
"""The ONNX axes of our height, width and channels."""
CHANNELS_LAST = (1, 2, 3)
"""The same for an input with its channels last, as tf2onnx writes it."""


MOST_AXES = 5
"""Of a transpose, without the batch: the device's kernels take one more."""


class UntranslatableError(Exception):
    """Why a node cannot be translated."""


class UnknownValueError(UntranslatableError):
    """A node reads a tensor that was not translated, which is a problem already."""


class ConstantReadError(Exception):
    """A node makes a constant, which has been noted, and no tensor."""


@dataclass(frozen=True)
class Value:
    """A tensor of the ONNX model as a tensor of the graph.

    Attributes:
        node: the graph's node that computes it.
        shape: in ONNX, with the batch of 1.
        axes: the ONNX axis of each of our axes behind the batch.
        order: for a vector, the place in ONNX of each of our values; None: the same. It differs behind a flattened
            picture, and the next layer's weights are put in that order.
        integers: whether it has been quantised and not yet been dequantised.
        rounded: the node whose tensor was quantised and dequantised for this value; another one than `node` behind it.
    """

    node: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: np.ndarray | None = None
    integers: bool = False
    rounded: str = ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of our tensor, without the batch."""
        return tuple(self.shape[axis] for axis in self.axes)

    def our_axis(self, axis: int) -> int:
        """Return our axis, counted behind the batch, of an ONNX axis, which may be negative."""
        axis = axis + len(self.shape) if axis < 0 else axis
        if axis not in self.axes:
            raise UntranslatableError(f"works on axis {axis} of {list(self.shape)}, which is the batch or missing")
        return self.axes.index(axis)


@dataclass(frozen=True)
class Integers:
    """A constant that the model stores quantised: real = (values − zero_point) · scale.

    Attributes:
        values: int8, uint8 or int32.
        scale: float32 [1] or [n along `axis`].
        zero_point: int64 of the same shape.
        axis: of the scales; None: a single one.
    """

    values: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None

    def real(self) -> np.ndarray:
        """Return the real values, float64."""
        shape = [1] * self.values.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        scale, zero = (part.reshape(shape) for part in (self.scale.astype(np.float64), self.zero_point))
        return (self.values.astype(np.int64) - zero) * scale


@dataclass(frozen=True)
class StoredKernel:
    """A weight of a convolution or of a dense layer.

    Attributes:
        values: float32, or int8 of zero point 0.
        scale: of the integers, float32 [1] or one per output channel; None for float32.
        reason: why integers of the file are float32 here; empty for all others.
    """

    values: np.ndarray
    scale: np.ndarray | None
    reason: str = ""


Translate = Callable[["Translation", OnnxNode], Value]


@dataclass
class Translation:
    """A graph under construction.

    Attributes:
        model: the folded ONNX model.
        momentum: of batch-norm, in place of that of its nodes.
        readers: the nodes that read a tensor, by its name; the result of the model has the reader None.
        values: the tensors translated so far, by their ONNX names.
        nodes, weights, weight_scales, activation_scales, in_float: of the graph.
        quantised: constants that the model stores as integers, by the names of their real values and of the integers.
        problems: nodes that cannot be translated, and why.
        biases: the integers of biases that the model stores quantised, by the weight's name.
        float_reasons: why nodes with integers in the file run in float, by name.
    """

    model: Folded
    momentum: float | None
    readers: Mapping[str, list[OnnxNode | None]]
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    weight_scales: dict[str, WeightScale] = field(default_factory=dict)
    activation_scales: dict[str, ActivationScale] = field(default_factory=dict)
    in_float: set[str] = field(default_factory=set)
    quantised: dict[str, Integers] = field(default_factory=dict)
    problems: list[tuple[OnnxNode, str]] = field(default_factory=list)
    biases: dict[str, Integers] = field(default_factory=dict)
    float_reasons: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=lambda: set(ALIASES))

    def add(
        self, name: str, operation: Operation, sources: tuple[str, ...], weights: Mapping[str, np.ndarray] | None = None
    ) -> str:
        """Add a node of the graph with its float weights by role; return its name."""
        name = free_name(_plain(name), self._taken)
        self._taken.add(name)
        self.nodes.append(Node(name, operation, sources))
        self.weights |= {f"{name}/{role}": np.asarray(values, np.float32) for role, values in (weights or {}).items()}
        return name

    def node(self, name: str) -> Node:
        """Return a node of the graph."""
        return next(node for node in reversed(self.nodes) if node.name == name)

    def any_value(self, name: str) -> Value:
        """Return a translated tensor, which may be integers: for operations that only move values."""
        if name in self.model.constants or name in self.quantised:
            raise UntranslatableError(f"its input {name} is a constant, and must be a tensor here")
        if name not in self.values:
            raise UnknownValueError
        return self.values[name]

    def value(self, name: str) -> Value:
        """Return a translated tensor of real values."""
        value = self.any_value(name)
        if value.integers:
            raise UntranslatableError(
                "computes with integers; only between DequantizeLinear and QuantizeLinear is known"
            )
        return value

    def picture(self, name: str) -> Value:
        """Return a tensor of real values with height, width and channels, in our order."""
        value = self.value(name)
        if len(value.shape) != 4:
            raise UntranslatableError(f"reads a tensor of the shape {list(value.shape)}; only pictures are known")
        return self.laid_out(value, PICTURE)

    def real(self, name: str) -> np.ndarray | None:
        """Return a constant's real values; None if the tensor is no constant."""
        if name in self.quantised:
            return self.quantised[name].real()
        return self.model.constants.get(name)

    def constant(self, node: OnnxNode, place: int, what: str) -> np.ndarray | None:
        """Return a constant input; None if it is left out."""
        if not node.has(place):
            return None
        values = self.real(node.inputs[place])
        if values is None:
            raise UntranslatableError(f"its {what} is computed, and must be a constant")
        return values

    def alone(self, name: str) -> bool:
        """Return whether one node alone reads what a node of the graph computes, under any of its ONNX names."""
        return all(len(self.readers.get(other, [])) == 1 for other in self.named(name))

    def forget(self, name: str) -> None:
        """Leave out the values of a node of the graph that has been changed to compute something behind them."""
        for other in self.named(name):
            del self.values[other]

    def named(self, name: str) -> list[str]:
        """Return the ONNX tensors that a node of the graph computes, several where axes are only renamed."""
        return [tensor for tensor, value in self.values.items() if value.node == name]

    def laid_out(self, value: Value, axes: tuple[int, ...], name: str | None = None) -> Value:
        """Return the value with our axes in that order; only axes of length 1 can move.

        Args:
            value: the value.
            axes: the wanted ONNX axis of each of our axes.
            name: of a node that has to be added; None: the value's, with `shape`.
        """
        if value.axes == axes:
            return value
        if _longer(value.shape, value.axes) != _longer(value.shape, axes):
            raise UntranslatableError(
                f"reads a tensor of the shape {list(value.shape)} whose axes lie in another order here: a transpose "
                "would be needed, and the device's kernels have channels last"
            )
        changed = replace(value, axes=axes)
        if changed.sizes == value.sizes:
            return changed
        return replace(changed, node=self.add(name or f"{value.node}/shape", Reshape(changed.sizes), (value.node,)))


def _longer(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[int]:
    return [axis for axis in axes if shape[axis] > 1]


def reshaped(to: Translation, name: str, value: Value, shape: tuple[int, ...]) -> Value:
    """Return the value in another ONNX shape, with the batch of 1.

    Row-major order over ONNX' axes must be kept. So a picture can become a vector (its features are then in another
    order than in ONNX, which the value remembers), and axes of length 1 can come and go.
    """
    if shape == value.shape:
        return value
    if not shape or shape[0] != 1 or prod(shape) != prod(value.shape):
        raise UntranslatableError(
            f"makes {list(shape)} of {list(value.shape)}; the first axis must stay the batch (of 1 picture)"
        )
    longer = _longer(value.shape, value.axes)
    order = value.order
    if longer != sorted(longer):
        if len(shape) != 2 or order is not None:
            same = _moved(value, shape)
            return _with_sizes(to, name, value, same) if same is not None else _regrouped(to, name, value, shape)
        places = np.arange(prod(shape)).reshape(value.shape[1:])
        order = places.transpose([axis - 1 for axis in value.axes]).ravel()
    natural = tuple(range(1, len(shape)))
    axes = PICTURE if len(shape) == 4 and _longer(shape, PICTURE) == _longer(shape, natural) else natural
    if order is not None and len(shape) != 2:
        raise UntranslatableError(f"makes {list(shape)} of a flattened picture: a transpose would be needed")
    return _with_sizes(to, name, value, replace(value, shape=shape, axes=axes, order=order))


def _moved(value: Value, shape: tuple[int, ...]) -> Value | None:
    """Return the value in a shape that differs in axes of length 1 only, with our axes where they were."""
    old = [axis for axis in range(1, len(value.shape)) if value.shape[axis] > 1]
    new = [axis for axis in range(1, len(shape)) if shape[axis] > 1]
    if [value.shape[axis] for axis in old] != [shape[axis] for axis in new]:
        return None
    place = dict(zip(old, new, strict=True))
    longer = [place[axis] for axis in value.axes if axis in place]
    return replace(value, shape=shape, axes=(*(axis for axis in range(1, len(shape)) if axis not in longer), *longer))


def _regrouped(to: Translation, name: str, value: Value, shape: tuple[int, ...]) -> Value:
    """Return the value in a shape that splits axes, and joins others.

    The parts of a split axis lie behind one another here as in ONNX. Axes that are joined must come in ONNX' order; if
    they do not, a transpose puts them so: that is a channel shuffle (Zhang et al. 2018, arXiv:1707.01083, §3.1).
    """
    if value.order is not None:
        raise UntranslatableError(f"makes {list(shape)} of a flattened picture: a transpose would be needed")
    blocks = _blocks(value.shape, shape)
    place = {axis: i for i, axis in enumerate(value.axes)}
    blocks.sort(key=lambda block: min(place[axis] for axis in block[0]))
    ones = [i for i, axis in enumerate(value.axes) if value.shape[axis] == 1]
    order = [*ones, *(place[axis] for old, _ in blocks for axis in old)]
    source = value.node
    if [i for i in order if i not in ones] != sorted(i for i in order if i not in ones):
        if len(order) > MOST_AXES:
            raise UntranslatableError(f"makes {list(shape)} of {list(value.shape)}: a transpose of {len(order)} axes")
        source = to.add(f"{name}/order", Permute(tuple(order)), (source,))
    longer = [axis for _, new in blocks for axis in new]
    short = [axis for axis in range(1, len(shape)) if axis not in longer]
    axes = PICTURE if len(shape) == 4 and _longer(shape, PICTURE) == longer else (*short, *longer)
    changed = replace(value, shape=shape, axes=axes)
    return replace(changed, node=to.add(name, Reshape(changed.sizes), (source,)))


def _blocks(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Return which axes of a shape become which of another one, as few at a time as can be; axes of length 1 are left
    out, as is the batch."""
    olds, news = ([axis for axis in range(1, len(shape)) if shape[axis] > 1] for shape in (old, new))
    blocks: list[tuple[list[int], list[int]]] = []
    while olds:
        before, after = [olds.pop(0)], [news.pop(0)]
        while (size := prod(old[axis] for axis in before)) != (made := prod(new[axis] for axis in after)):
            if size < made:
                before.append(olds.pop(0))
            else:
                after.append(news.pop(0))
        blocks.append((before, after))
    return blocks


def _with_sizes(to: Translation, name: str, value: Value, changed: Value) -> Value:
    if changed.sizes == value.sizes:
        return changed
    return replace(changed, node=to.add(name, Reshape(changed.sizes), (value.node,)))


def aligned(to: Translation, first: Value, second: Value) -> tuple[Value, Value]:
    """Return two values that are broadcast against one another with the same axes in the same places."""
    orders = [value.order for value in (first, second) if value.order is not None]
    if len(orders) == 1 or (orders and not np.array_equal(orders[0], orders[1])):
        raise UntranslatableError("combines a flattened picture with other values: a transpose would be needed")
    if len(first.shape) != len(second.shape):
        raise UntranslatableError(
            f"combines tensors of the shapes {list(first.shape)} and {list(second.shape)}; give both the same "
            "number of axes"
        )
    if first.axes == second.axes:
        return first, second
    try:
        return first, to.laid_out(second, first.axes)
    except UntranslatableError:
        return to.laid_out(first, second.axes), second


def as_operand(value: Value, constant: np.ndarray) -> np.ndarray:
    """Return a constant that is broadcast against a value, in our order of axes and without the batch.

    Axes of length 1 are kept, so it has as many axes as our tensor.
    """
    if constant.ndim > len(value.shape) or (constant.ndim == len(value.shape) and constant.shape[0] != 1):
        raise UntranslatableError(
            f"combines {list(value.shape)} with a constant of the shape {list(constant.shape)}, whose first axis is "
            "not the batch of 1"
        )
    full = constant.reshape((1,) * (len(value.shape) - constant.ndim) + constant.shape)
    ours = full.transpose([0, *value.axes])[0].astype(np.float32)
    if any(size not in (1, wide) for size, wide in zip(ours.shape, value.sizes, strict=True)):
        raise UntranslatableError(f"a constant of the shape {list(constant.shape)} would enlarge {list(value.shape)}")
    return ours if value.order is None or ours.shape[-1] == 1 else ours[..., value.order]


def _plain(name: str) -> str:
    """Return a node's name without what names of layers may not have: letters, digits and `._-/` stay."""
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "._-/" else "_" for c in name)
    return "/".join(part for part in kept.split("/") if part) or "node"
