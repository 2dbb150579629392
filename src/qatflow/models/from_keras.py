"""A functional Keras classifier as a graph."""

from collections.abc import Callable
from typing import Any

import numpy as np

from qatflow.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    AveragePool,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePool,
    Identity,
    Input,
    MaxPool,
    Operation,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Softmax,
)


def graph_of(model: Any) -> Graph:
    """Return the graph of a functional tf_keras model, with its weights.

    The first input and the last output get PaddleSlim's names for them, `image` and `fc_0.tmp_2`, as aliases. An
    activation inside a layer becomes a node of its own, `<layer>/<activation>`.

    Raises:
        UserError: a layer is of a kind that cannot be translated; all such layers are listed.
    """
    nodes: list[Node] = []
    weights: dict[str, np.ndarray] = {}
    tensor_of: dict[str, str] = {}  # layer name -> node whose tensor is the layer's output
    unknown: list[str] = []
    for keras_node in _in_order(model):
        layer = keras_node.layer
        kind = type(layer).__name__
        translate = TRANSLATIONS.get(kind)
        if translate is None:
            unknown.append(f"{layer.name} ({kind})")
            continue
        if unknown:
            continue
        if layer.name in tensor_of:
            raise UserError(f"model {model.name}: layer {layer.name} is used twice; give each use a layer of its own")
        sources = tuple(tensor_of[parent.layer.name] for parent in keras_node.parent_nodes)
        nodes.append(Node(layer.name, translate(layer), sources))
        weights |= {f"{layer.name}/{_role(w.name)}": w.numpy() for w in layer.weights}
        tensor_of[layer.name] = layer.name
        activation = _activation(layer)
        if activation is not None and kind != "Activation":
            name = f"{layer.name}/{layer.activation.__name__}"
            nodes.append(Node(name, activation, (layer.name,)))
            tensor_of[layer.name] = name
    if unknown:
        known = ", ".join(sorted(TRANSLATIONS))
        raise UserError(f"model {model.name}: these layers cannot be translated: {', '.join(unknown)}; known: {known}")
    outputs = tuple(tensor_of[name] for name in model.output_names)
    return Graph(tuple(nodes), outputs, weights, aliases={"image": nodes[0].name, "fc_0.tmp_2": outputs[0]})


def _in_order(model: Any) -> list[Any]:
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth]]


def _role(variable_name: str) -> str:
    return variable_name.split(":")[0].rsplit("/", 1)[-1]


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)


def _conv(layer: Any) -> Operation:
    if layer.groups != 1:
        raise UserError(f"layer {layer.name}: grouped convolutions (groups={layer.groups}) cannot be translated")
    return Conv2D(_pair(layer.strides), layer.padding, _pair(layer.dilation_rate))


def _pool(kind: type) -> Callable[[Any], Operation]:
    return lambda layer: kind(_pair(layer.pool_size), _pair(layer.strides), layer.padding)


def _batch_norm(layer: Any) -> Operation:
    if tuple(layer.axis) != (layer.input_spec.ndim - 1,) or not (layer.center and layer.scale):
        raise UserError(f"layer {layer.name}: batch-norm must be over the last axis, with gamma and beta")
    return BatchNorm(float(layer.epsilon), float(layer.momentum))


def _relu(layer: Any) -> Operation:
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6.0):
        raise UserError(f"layer {layer.name}: only ReLU and ReLU6 can be translated")
    return Relu() if layer.max_value is None else Relu6()


def _activation(layer: Any) -> Operation | None:
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "linear")
    if name == "linear":
        return None
    known: dict[str, Operation] = {"relu": Relu(), "relu6": Relu6(), "softmax": Softmax()}
    found = known.get(name)
    if found is None:
        raise UserError(f"layer {layer.name}: activation {name} cannot be translated; known: relu, relu6, softmax")
    return found


def _softmax(layer: Any) -> Operation:
    if layer.axis not in (-1,):
        raise UserError(f"layer {layer.name}: softmax must be over the last axis")
    return Softmax()


TRANSLATIONS: dict[str, Callable[[Any], Operation]] = {
    "InputLayer": lambda layer: Input(tuple(int(n) for n in layer.input_shape[0][1:])),
    "Conv2D": _conv,
    "DepthwiseConv2D": lambda layer: DepthwiseConv2D(_pair(layer.strides), layer.padding, _pair(layer.dilation_rate)),
    "Dense": lambda layer: Dense(),
    "BatchNormalization": _batch_norm,
    "ReLU": _relu,
    "Activation": lambda layer: _activation(layer) or Identity(),
    "Softmax": _softmax,
    "Add": lambda layer: Add(),
    "ZeroPadding2D": lambda layer: Pad(_pair(layer.padding[0]), _pair(layer.padding[1])),
    "AveragePooling2D": _pool(AveragePool),
    "MaxPooling2D": _pool(MaxPool),
    "GlobalAveragePooling2D": lambda layer: GlobalAveragePool(bool(layer.keepdims)),
    "Reshape": lambda layer: Reshape(tuple(int(n) for n in layer.output_shape[1:])),
    "Flatten": lambda layer: Reshape(tuple(int(n) for n in layer.output_shape[1:])),
    "Dropout": lambda layer: Dropout(float(layer.rate)),
}
