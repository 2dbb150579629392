"""Recognises attention, which exporters write out as softmax(q kᵀ · scale) v between reshapes and transposes.

Whatever moves the values of the query, the key and the value into heads is followed back to the dense layers that make
them, with an array of places: so any order of axes is known that comes to the same. The layers become one for each of
the three, with the columns of the heads behind one another, and what only moved values is gone.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from qatflow.graph.operations import Attention, Dense, Reshape
from qatflow.models.onnx.folded import Folded, OnnxNode, needed
from qatflow.models.onnx.translation import Translate, Translation, UntranslatableError, Value

KIND = "softmax(q kᵀ) v"
"""Stands for the kind of the node that takes the others' place; no operator is called so."""
SAME_VALUES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")


@dataclass(frozen=True)
class Rows:
    """A matrix product whose first matrix is a tensor of the model, with its values laid out in rows.

    Attributes:
        base: the tensor.
        places: where each value of the first matrix, row by row, is among those of the tensor.
        kernel: float32 [in, out].
        bias: float32 [out].
    """

    base: str
    places: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class _View:
    """A tensor that holds values of another one, all times a factor."""

    base: str
    places: np.ndarray
    factor: float


Move = Callable[[np.ndarray], np.ndarray]


class _Net:
    def __init__(self, model: Folded):
        self.model = model
        self.made = {name: node for node in model.nodes for name in node.outputs}
        self.readers: dict[str, list[OnnxNode]] = {}
        for node in model.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.model.shapes[name]

    def integers(self, node: OnnxNode, place: int) -> list[int] | None:
        values = self.model.constants.get(node.inputs[place]) if node.has(place) else None
        return None if values is None else [int(value) for value in values.ravel()]

    def view(self, name: str) -> _View:
        """Return what a tensor holds of the one that the last node before it computes that not only moves values."""
        moves: list[Move] = []
        factor = 1.0
        while (node := self.made.get(name)) is not None:
            number = self.times(node)
            if number is not None:
                name, factor = number[0], factor * number[1]
            elif (move := self.move(node, name)) is not None:
                moves.append(move)
                name = node.inputs[0]
            else:
                break
        places = np.arange(prod(self.shape(name))).reshape(self.shape(name))
        for move in reversed(moves):
            places = move(places)
        return _View(name, places, factor)

    def times(self, node: OnnxNode) -> tuple[str, float] | None:
        """Return the tensor that a node multiplies by a number, or divides by it, and the factor."""
        if node.kind not in ("Mul", "Div"):
            return None
        for place in (1, 0) if node.kind == "Mul" else (1,):
            values = self.model.constants.get(node.inputs[place])
            if values is not None and values.size == 1 and node.inputs[1 - place] not in self.model.constants:
                number = float(values.item())
                return node.inputs[1 - place], 1 / number if node.kind == "Div" and number else number
        return None

    def move(self, node: OnnxNode, output: str) -> Move | None:
        """Return how a node moves values from its first input to an output; None if it does anything else."""
        shape = self.model.shapes.get(output)
        if shape is None or node.inputs[0] not in self.model.shapes:
            return None
        rank = len(self.shape(node.inputs[0]))
        if node.kind in SAME_VALUES:
            return lambda places: places.reshape(shape)
        if node.kind == "Transpose":
            order = node.attributes.get("perm", tuple(range(rank))[::-1])
            return lambda places: places.transpose(order)
        axis = int(node.attributes.get("axis", 0)) % rank
        if node.kind == "Gather" and (indices := self.integers(node, 1)) is not None:
            taken = np.asarray(indices).reshape(self.model.constants[node.inputs[1]].shape)
            return lambda places: np.take(places, taken, axis)
        if node.kind == "Split":
            first = sum(self.shape(name)[axis] for name in node.outputs[: node.outputs.index(output)])
            return lambda places: np.take(places, np.arange(first, first + shape[axis]), axis)
        return None

    def rows(self, name: str) -> Rows | None:
        """Return the matrix product with constants that computes a tensor, with its bias."""
        node = self.made.get(name)
        bias: np.ndarray | None = None
        if node is not None and node.kind == "Add":
            for place in (0, 1):
                bias = self.model.constants.get(node.inputs[place])
                if bias is not None:
                    node = self.made.get(node.inputs[1 - place])
                    break
        kernel = self.model.constants.get(node.inputs[1]) if node is not None and len(node.inputs) > 1 else None
        if node is None or node.kind not in ("MatMul", "Gemm") or kernel is None or kernel.ndim != 2:
            return None
        if node.kind == "Gemm":
            plain = all(float(node.attributes.get(key, 1.0)) == 1.0 for key in ("alpha", "beta"))
            if not plain or node.attributes.get("transA", 0) or bias is not None:
                return None
            kernel = kernel.T if node.attributes.get("transB", 0) else kernel
            bias = self.model.constants.get(node.inputs[2]) if node.has(2) else None
            if node.has(2) and bias is None:
                return None
        bias = np.zeros(kernel.shape[1], np.float32) if bias is None else bias
        if bias.size not in (1, kernel.shape[1]) or kernel.dtype != np.float32:
            return None
        source = self.view(node.inputs[0])
        if source.factor != 1.0:
            return None
        return Rows(source.base, source.places.ravel(), kernel, np.broadcast_to(bias.ravel(), kernel.shape[1]))


def recognised(model: Folded) -> Folded:
    """Return the model with one node for each attention, with the dense layers before it and the one behind it."""
    net = _Net(model)
    changed: dict[str, OnnxNode] = {}
    for softmax in model.nodes:
        with suppress(LookupError, ValueError):  # a damaged file, of which the translation says more
            changed |= {node.outputs[0]: node for node in _attentions(net, softmax)}
    if not changed:
        return model
    nodes = [changed.get(node.outputs[0], node) for node in model.nodes]
    return replace(model, nodes=needed(nodes, model.output))


def _attentions(net: _Net, softmax: OnnxNode) -> Iterator[OnnxNode]:
    """Yield the node that takes the place of attention around a softmax, if it is one."""
    if softmax.kind != "Softmax" or softmax.inputs[0] not in net.model.shapes:
        return
    rank = len(net.shape(softmax.inputs[0]))
    if int(softmax.attributes.get("axis", -1 if net.model.opset >= 13 else 1)) % rank != rank - 1:
        return
    scores = net.view(softmax.inputs[0])
    first = net.made.get(scores.base)
    behind = [node for reader in _moved(net, softmax.outputs[0]) for node in net.readers.get(reader, [])]
    second = next((node for node in behind if node.kind == "MatMul"), None)
    if first is None or first.kind != "MatMul" or second is None or not _in_order(scores.places):
        return
    if net.view(second.inputs[0]).base != softmax.outputs[0] or not _in_order(net.view(second.inputs[0]).places):
        return
    views = [net.view(name) for name in (*first.inputs, second.inputs[1])]
    heads = [view.places.reshape(-1, *view.places.shape[-2:]) for view in views]
    heads[1] = heads[1].transpose(0, 2, 1)
    parts = [_part(net, view, places) for view, places in zip(views, heads, strict=True)]
    if views[2].factor != 1.0 or len({len(places) for places in heads}) != 1 or any(part is None for part in parts):
        return
    scale = scores.factor * views[0].factor * views[1].factor
    made = net.shape(second.outputs[0])
    shape = (len(heads[0]), *made[-2:])
    if prod(made) != prod(shape):
        return
    about: dict[str, Any] = {"parts": parts, "heads": len(heads[0]), "scale": scale, "projection": None}
    in_rows = np.arange(prod(shape)).reshape(shape).transpose(1, 0, 2)
    last, batch_first = _natural(net, second.outputs[0], in_rows)
    if not batch_first:  # it follows in the shape behind the dense layer
        reader = next(iter(net.readers.get(last, [])), None)
        output = None if reader is None else _sum(net, reader)
        projection = None if output is None else net.rows(output)
        if output is None or projection is None or projection.base != second.outputs[0]:
            return
        if not np.array_equal(projection.places, in_rows.ravel()):
            return
        about["projection"] = projection
        places = np.arange(prod(net.shape(output))).reshape(shape[1], -1)
        last, batch_first = _natural(net, output, places)
        if not batch_first:
            return
    end = net.made[last]
    yield OnnxNode(end.name, KIND, tuple(part.base for part in parts if part is not None), (last,), about)


def _sum(net: _Net, product: OnnxNode) -> str:
    """Return the tensor of a matrix product and of the bias that is added to it, if one is."""
    readers = net.readers.get(product.outputs[0], [])
    adds = len(readers) == 1 and readers[0].kind == "Add" and any(n in net.model.constants for n in readers[0].inputs)
    return readers[0].outputs[0] if adds and product.kind == "MatMul" else product.outputs[0]


def _in_order(places: np.ndarray) -> bool:
    return bool(np.array_equal(places.ravel(), np.arange(places.size)))


def _moved(net: _Net, name: str) -> list[str]:
    """Return the tensors that hold the values of a tensor, and itself."""
    found = [name]
    for known in found:
        for node in net.readers.get(known, []):
            if node.inputs[0] == known and net.move(node, node.outputs[0]) is not None:
                found += node.outputs
    return found


def _natural(net: _Net, name: str, wanted: np.ndarray) -> tuple[str, bool]:
    """Return the last tensor that holds the values of one as rows of places, and whether it has a batch of 1 in front.

    Args:
        net: the model.
        name: of the tensor.
        wanted: the places of its values in these rows.
    """
    last, batch_first = name, False
    for other in _moved(net, name):
        shape = net.shape(other)
        in_rows = np.array_equal(net.view(other).places.ravel(), wanted.ravel()) and shape[-1] == wanted[0].size
        whole = in_rows and shape[0] == 1 and len(shape) == 3
        if whole or (in_rows and not batch_first):
            last, batch_first = other, whole
    return last, batch_first


def _part(net: _Net, view: _View, places: np.ndarray) -> Rows | None:
    """Return the dense layer that makes a tensor of [heads, rows, channels], with its columns in that order."""
    rows = net.rows(view.base)
    if rows is None:
        return None
    row, column = np.divmod(places, rows.kernel.shape[1])
    count = places.shape[1]
    in_order = np.broadcast_to(np.arange(count)[:, None], places.shape)
    if prod(net.shape(view.base)[:-1]) != count or np.any(row != in_order) or np.any(column != column[:, :1]):
        return None
    columns = column[:, 0].ravel()
    return replace(rows, kernel=rows.kernel[:, columns], bias=rows.bias[columns])


def _attention(to: Translation, node: OnnxNode) -> Value:
    about: Mapping[str, Any] = node.attributes
    sources = tuple(
        _dense(to, f"{node.name}/{role}", part)
        for role, part in zip(("query", "key", "value"), about["parts"], strict=True)
    )
    shape = to.model.shapes[node.outputs[0]]
    projection: Rows | None = about["projection"]
    operation = Attention(int(about["heads"]), float(about["scale"]))
    name = to.add(node.name if projection is None else f"{node.name}/attention", operation, sources)
    if projection is not None:
        name = to.add(node.name, Dense(), (name,), {"kernel": projection.kernel, "bias": projection.bias})
    return Value(name, shape, (1, 2))


def _dense(to: Translation, name: str, part: Rows) -> str:
    """Add a dense layer over the rows of a tensor."""
    value = to.value(part.base)
    ours = np.arange(prod(value.shape)).reshape(value.shape).transpose([0, *value.axes])
    if value.order is not None or not np.array_equal(ours.ravel(), part.places):
        raise UntranslatableError(f"reads {part.base} in another order than it lies here: a transpose would be needed")
    source, sizes = value.node, (part.places.size // len(part.kernel), len(part.kernel))
    if value.sizes != sizes:
        source = to.add(f"{name}/rows", Reshape(sizes), (source,))
    return to.add(name, Dense(), (source,), {"kernel": part.kernel, "bias": part.bias})


TRANSLATIONS: dict[str, Translate] = {KIND: _attention}
