"""A quantised graph executed with fake quantisation, as training saw it, with the final scales."""

from dataclasses import replace
from typing import Any

import tensorflow as tf
from tf_keras import layers

from qatflow.compress.quantizers.fake_quant import activation_grid, fake_quant
from qatflow.compress.quantizers.grid_rounding import GridRounding
from qatflow.graph.families import rounding
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.names import layer_names, tensor_layer
from qatflow.quantisation.grids import Fit
from qatflow.training.keras_model import NoHooks, TrainingModel, training_model


class FixedFakeQuant(layers.Layer):
    """Rounds to a grid with a fixed scale."""

    def __init__(self, scale: ActivationScale, name: str):
        super().__init__(name=name, trainable=False)
        self._scale = scale

    def call(self, inputs: Any) -> Any:
        """Return the inputs on the grid."""
        bits = self._scale.bits
        if self._scale.scale is None:
            largest = tf.reduce_max(tf.abs(inputs))
            fit: Fit = "from_zero" if self._scale.zero_point else "around_zero"
            scale, zero_point = activation_grid(-largest, largest, bits, fit)
        else:
            scale, zero_point = tf.constant(self._scale.scale, tf.float32), float(self._scale.zero_point)
        return fake_quant(inputs, scale, zero_point, bits)


class FixedScales(NoHooks):
    """Hooks that put the graph's own activation scales into a model; weights are on their grids already."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self._names = layer_names(graph)

    def after(self, node: Node) -> Any | None:
        """Quantise a tensor that has a scale, and round one whose kernel writes on its input's grid."""
        scale, ties = self.graph.activation_scales.get(node.name), rounding(node.operation)
        name = tensor_layer(self._names[node.name])
        if ties is None:
            return scale and FixedFakeQuant(scale, name)
        source = self.graph.activation_scale(node.name)
        if source is None or source.scale is None:
            return None
        grid = tf.constant(source.scale, tf.float32), float(source.zero_point)
        return GridRounding(ties, lambda: grid, name)


def fake_quant_model(graph: Graph) -> TrainingModel:
    """Return the Keras model of a quantised graph; pictures in, logits out."""
    real = replace(graph, weights={name: graph.real_weight(name) for name in graph.weights}, weight_scales={})
    return training_model(real, seed=0, step=0, hooks=FixedScales(graph))
