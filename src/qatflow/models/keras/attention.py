"""Attention, and the dense layers that are written as an Einstein sum: matrix products in int8, attention in float."""

from math import prod, sqrt
from typing import Any

import numpy as np

from qatflow.graph.operations import Attention, Dense, Reshape
from qatflow.models.keras.activations import activated
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import Translate, Translation

MULTI_HEAD = ("query", "value", "key", "attention_mask", "return_attention_scores", "training", "use_causal_mask")
"""The arguments of MultiHeadAttention.call, in order."""
LAST_ONLY = (
    "only products of the last axes with the first ones of the kernel are known, whose result is last, as in "
    "'abc,cd->abd'"
)


def _multi_head(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    """Add the four dense layers, and the attention between the third and the fourth."""
    given = to.arguments(MULTI_HEAD)
    query, value = given.pop("query"), given.pop("value")
    key = given.pop("key", value)
    given.pop("training", None)
    others = [argument for argument, what in given.items() if what is not False]
    if others:
        raise UntranslatableError(f"is called with {', '.join(others)}; known are query, value and key")
    if layer._query_shape.rank != 3 or tuple(layer._attention_axes) != (1,):
        raise UntranslatableError("reads other tensors than [batch, places, channels], with attention over the places")
    heads = int(layer._num_heads)
    parts = [
        _projected(to, f"{name}/{role}", sublayer, source, 1)
        for role, sublayer, source in (
            ("query", layer._query_dense, query), ("key", layer._key_dense, key), ("value", layer._value_dense, value),
        )
    ]  # fmt: skip
    operation = Attention(heads, 1 / sqrt(layer._key_dim))
    attended = to.add(f"{name}/attention", operation, tuple(parts))
    return _projected(to, name, layer._output_dense, attended, 2)


def _projected(to: Translation, name: str, layer: Any, source: str, reads: int) -> str:
    """Add the matrix product of an EinsumDense over the last `reads` axes, which lie behind one another."""
    kernel = layer.kernel.numpy()
    rows, columns = prod(kernel.shape[:reads]), prod(kernel.shape[reads:])
    weights = {"kernel": kernel.reshape(rows, columns)}
    if layer.bias is not None:
        weights["bias"] = np.broadcast_to(layer.bias.numpy(), kernel.shape[reads:]).reshape(columns)
    return to.add(name, Dense(), (source,), weights)


def _dot_product(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    query, value, *rest = sources
    if layer.use_scale or layer.score_mode != "dot":
        raise UntranslatableError("use_scale and score_mode other than 'dot' are not known")
    if to.rank != 2:
        raise UntranslatableError("reads other tensors than [batch, places, channels]")
    return to.add(name, Attention(1, 1.0), (query, *(rest or [value]), value))


def _einsum_dense(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    reads, makes = _axes(layer.equation)
    shape = to.output_shape()
    outer = shape[: len(shape) - makes]
    source = sources[0]
    if reads > 1:
        source = to.add(f"{name}/joined", Reshape((*outer, prod(layer.kernel.shape[:reads]))), (source,))
    last = _projected(to, f"{name}/dense" if makes > 1 else name, layer, source, reads)
    if makes > 1:
        last = to.add(name, Reshape(shape), (last,))
    return activated(to, last, layer)


def _axes(equation: str) -> tuple[int, int]:
    """Return how many axes of the input an EinsumDense sums over, and how many it makes: all of them the last ones.

    Raises:
        UntranslatableError: it does something else.
    """
    inputs, output = equation.replace(" ", "").split("->")
    source, kernel = inputs.split(",")
    summed = "".join(axis for axis in kernel if axis not in output)
    made = "".join(axis for axis in kernel if axis in output)
    outer = source.removesuffix(summed)
    if not summed or not made or summed + made != kernel or source != outer + summed or output != outer + made:
        raise UntranslatableError(f"equation {equation}: {LAST_ONLY}")
    if not outer or set(outer) & set(kernel):
        raise UntranslatableError(f"equation {equation}: {LAST_ONLY}")
    return len(summed), len(made)


TRANSLATIONS: dict[str, Translate] = {
    "Attention": _dot_product,
    "EinsumDense": _einsum_dense,
    "MultiHeadAttention": _multi_head,
}
