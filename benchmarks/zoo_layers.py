"""Each int8 layer of a model against training's fake quantisation of the same inputs, in steps.

The random networks of the zoo make small differences grow from layer to layer, so that the end of a network says little
about a layer. Here training's model gets, behind each layer, the integers that LiteRT computed there.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras import layers

from qatflow.evaluate.fake_quant_model import FixedScales
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.names import tensor_layer
from qatflow.tflite.lower import Converted
from qatflow.tflite.tensors import Tensors
from qatflow.training.keras_model import training_model


class LiteRtIntegers(layers.Layer):
    """Compares its input with LiteRT's integers of that tensor, and passes those on."""

    def __init__(self, node: str, scale: ActivationScale, integers: Mapping[str, np.ndarray], name: str):
        super().__init__(name=name)
        self._node, self._scale, self._integers = node, scale, integers
        self.steps = 0.0

    def call(self, inputs: Any) -> Any:
        """Return the real values of the integers; while the model is built, the input."""
        if not hasattr(inputs, "numpy"):
            return inputs
        scale, zero_point = self._scale.scale, self._scale.zero_point
        assert scale is not None
        expected = np.clip(np.rint(inputs.numpy() / np.float32(scale)) + zero_point, -128, 127)
        found = self._integers[self._node].astype(np.float32)
        self.steps = max(self.steps, float(np.abs(expected - found).max()))
        return tf.constant((found - zero_point) * np.float32(scale))


class LiteRtInputs(FixedScales):
    """Training's quantisers, with `LiteRtIntegers` in place of those whose tensors the .tflite has under a name."""

    def __init__(self, graph: Graph, integers: Mapping[str, np.ndarray], names: Mapping[str, str]):
        super().__init__(graph)
        self.compared: dict[str, LiteRtIntegers] = {}
        self._integers, self._compared_names = integers, names

    def after(self, node: Node) -> Any | None:
        """Compare a tensor that is quantised, or round it as training does."""
        if node.name not in self._compared_names:
            return super().after(node)
        scale, name = self.graph.activation_scales[node.name], tensor_layer(self._names[node.name])
        self.compared[node.name] = LiteRtIntegers(node.name, scale, self._integers, name)
        return self.compared[node.name]


def layer_steps(graph: Graph, made: Converted, pictures: np.ndarray) -> dict[str, float]:
    """Return the greatest difference of each int8 tensor, in steps, by node.

    Args:
        graph: quantised, before any pass.
        made: its .tflite.
        pictures: float32 [n, height, width, channels].
    """
    model, integers = Tensors(made.content), dict[str, np.ndarray]()
    # passes rename tensors, and keep the objects of their scales
    folded = {id(scale): name for name, scale in made.graph.activation_scales.items()}
    shared = [id(scale) for scale in graph.activation_scales.values()]
    names = {}
    for node, scale in graph.activation_scales.items():
        tensor = folded.get(id(scale)) if shared.count(id(scale)) == 1 else node
        known = [name for name in (f"{tensor}/int8", tensor) if name in model.index]
        if known:
            names[node] = str(known[0])
    real = replace(graph, weights={name: graph.real_weight(name) for name in graph.weights}, weight_scales={})
    hooks = LiteRtInputs(graph, integers, names)
    keras = training_model(real, seed=0, step=0, hooks=hooks).keras
    for picture in pictures:
        model.run(picture)
        integers |= {node: model.value(name) for node, name in names.items()}
        keras(picture[None], training=False)
    return {node: layer.steps for node, layer in hooks.compared.items()}
