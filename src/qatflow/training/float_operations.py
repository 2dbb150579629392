"""The Keras layers of operations that run in float on the device: norms over channels, and attention."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tf_keras import layers

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Attention, GroupNorm, LayerNorm, UnitNorm


class DotProductAttention(layers.Layer):
    """`Attention` of a list of three tensors: queries, keys and values."""

    def __init__(self, operation: Attention, name: str):
        super().__init__(name=name)
        self._operation = operation

    def call(self, inputs: Any) -> Any:
        """Return [n, places, heads × e]."""
        query, key, value = (self._apart(tensor) for tensor in inputs)
        scores = tf.einsum("nqhd,nkhd->nhqk", query * self._operation.scale, key)
        weighted = tf.einsum("nhqk,nkhe->nqhe", tf.nn.softmax(scores), value)
        return tf.reshape(weighted, [-1, weighted.shape[1], weighted.shape[2] * weighted.shape[3]])

    def _apart(self, tensor: Any) -> Any:
        places, channels = tensor.shape[1:]
        return tf.reshape(tensor, [-1, places, self._operation.heads, channels // self._operation.heads])


def _layer_norm(node: Node, graph: Graph, name: str) -> Any:
    assert isinstance(node.operation, LayerNorm)
    return layers.LayerNormalization(epsilon=node.operation.epsilon, name=name)


def _group_norm(node: Node, graph: Graph, name: str) -> Any:
    assert isinstance(node.operation, GroupNorm)
    return layers.GroupNormalization(node.operation.groups, epsilon=node.operation.epsilon, name=name)


def _attention(node: Node, graph: Graph, name: str) -> Any:
    assert isinstance(node.operation, Attention)
    return DotProductAttention(node.operation, name)


FLOAT_LAYERS: dict[type, Callable[[Node, Graph, str], Any]] = {
    LayerNorm: _layer_norm,
    GroupNorm: _group_norm,
    UnitNorm: lambda node, graph, name: layers.UnitNormalization(name=name),
    Attention: _attention,
}
