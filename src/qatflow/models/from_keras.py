"""A functional Keras classifier as a graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qatflow.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    Gelu,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Input,
    LeakyRelu,
    MaxPool,
    Multiply,
    Operation,
    Pad,
    Relu,
    Relu6,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
    UpSample,
)
from qatflow.models.standalone_batch_norm import carried

NESTED = ("Functional", "Model", "Sequential")


def graph_of(model: Any, momentum: float | None = None) -> Graph:
    """Return the graph of a functional or sequential tf_keras model, with its weights.

    The first input and the last output get PaddleSlim's names for them, `image` and `fc_0.tmp_2`, as aliases. An
    activation inside a layer becomes a node of its own, `<layer>/<activation>`. A model used as a layer becomes its
    layers.

    Args:
        model: the Keras model.
        momentum: decay of batch-norm's moving statistics, in place of that of its layers.

    Raises:
        UserError: layers cannot be translated; all are listed, with their kinds and why.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"model {model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a classifier has one "
            "of each"
        )
    to = Translation(momentum)
    to.model(model, None)
    if to.problems:
        raise UserError(
            f"model {model.name}: these layers cannot be translated: {'; '.join(to.problems)}. Known kinds: "
            f"{', '.join(sorted(TRANSLATIONS))}"
        )
    output = to.tensors[id(model.outputs[0])]
    graph = Graph(tuple(to.nodes), (output,), to.weights)
    graph = carried(graph)
    return Graph(
        graph.nodes, graph.outputs, graph.weights, aliases={"image": to.nodes[0].name, "fc_0.tmp_2": graph.outputs[0]}
    )


class UntranslatableError(Exception):
    """Why a layer cannot be translated."""


@dataclass
class Translation:
    """A graph on its way.

    Attributes:
        nodes: in order.
        weights: by `<node>/<role>`.
        tensors: the node that makes a Keras tensor, by the tensor's id.
        problems: layers that cannot be translated.
        momentum: of batch-norm, in place of the layers' own.
    """

    momentum: float | None = None
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def add(
        self, name: str, operation: Operation, sources: tuple[str, ...], weights: Mapping[str, np.ndarray] | None = None
    ) -> str:
        """Add a node with its weights by role; return its name."""
        self.nodes.append(Node(name, operation, sources))
        self.weights |= {f"{name}/{role}": np.asarray(values, np.float32) for role, values in (weights or {}).items()}
        return name

    def model(self, model: Any, source: str | None) -> None:
        """Add the layers of a model; `source` is the node it reads where it is used as a layer."""
        if source is not None:
            self.tensors[id(model.inputs[0])] = source
        for keras_node in _in_order(model):
            if source is None or type(keras_node.layer).__name__ != "InputLayer":
                self._layer(keras_node, model.name if source is not None else None)

    def _layer(self, keras_node: Any, inside: str | None) -> None:
        layer, kind = keras_node.layer, type(keras_node.layer).__name__
        sources = tuple(self.tensors.get(id(tensor), "") for tensor in keras_node.keras_inputs)
        try:
            self.tensors[id(keras_node.outputs)] = self._translated(layer, kind, sources, inside)
        except UntranslatableError as error:
            self.problems.append(f"{layer.name} ({kind}{f': {error}' if str(error) else ''})")

    def _translated(self, layer: Any, kind: str, sources: tuple[str, ...], inside: str | None) -> str:
        if id(layer) in self._seen:
            raise UntranslatableError("is used twice; give each use a layer of its own")
        self._seen.add(id(layer))
        if kind in NESTED:
            if len(sources) != 1 or len(layer.outputs) != 1:
                raise UntranslatableError("a model used as a layer has one input and one output")
            self.model(layer, sources[0])
            return self.tensors.get(id(layer.outputs[0]), "")
        if kind not in TRANSLATIONS:
            raise UntranslatableError(HINTS.get(kind, ""))
        if getattr(layer, "data_format", "channels_last") != "channels_last":
            raise UntranslatableError("channels come first; they must come last")
        name = layer.name
        if inside is not None and any(node.name.split("/")[0] == name for node in self.nodes):
            name = f"{inside}/{name}"
        return TRANSLATIONS[kind](self, name, layer, sources)


def _in_order(model: Any) -> list[Any]:
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth]]


def _own_weights(layer: Any) -> dict[str, np.ndarray]:
    return {weight.name.split(":")[0].rsplit("/", 1)[-1]: weight.numpy() for weight in layer.weights}


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)


Translate = Callable[[Translation, str, Any, tuple[str, ...]], str]


def _activated(to: Translation, name: str, layer: Any) -> str:
    """Add the activation inside a layer, whose node is `name`, and return the node that makes the layer's output."""
    function = getattr(layer, "activation", None)
    if getattr(function, "__name__", "linear") == "linear":
        return name
    assert function is not None
    return _activation(to, f"{name}/{function.__name__}", function, (name,))


def _activation(to: Translation, name: str, function: Any, sources: tuple[str, ...]) -> str:
    kind = getattr(function, "__name__", type(function).__name__)
    if kind in ("swish", "silu"):
        return to.add(name, Multiply(), (*sources, to.add(f"{name}/sigmoid", Sigmoid(), sources)))
    if kind not in ACTIVATIONS:
        raise UntranslatableError(f"activation {kind}; known: {', '.join(sorted((*ACTIVATIONS, 'swish')))}")
    return to.add(name, ACTIVATIONS[kind], sources)


ACTIVATIONS: dict[str, Operation] = {
    "linear": Identity(),
    "relu": Relu(),
    "relu6": Relu6(),
    "leaky_relu": LeakyRelu(0.2),
    "softmax": Softmax(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "elu": Elu(),
    "gelu": Gelu(approximate=False),
}


def _one(make: Callable[[Any], Operation]) -> Translate:
    """Return the translation of a layer into one node without weights."""
    return lambda to, name, layer, sources: to.add(name, make(layer), sources)


def _conv(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer.groups != 1:
        raise UntranslatableError(f"groups={layer.groups}; grouped convolutions have no training on CPUs")
    operation = Conv2D(_pair(layer.strides), layer.padding, _pair(layer.dilation_rate))
    return _activated(to, to.add(name, operation, sources, _own_weights(layer)), layer)


def _depthwise(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    operation = DepthwiseConv2D(_pair(layer.strides), layer.padding, _pair(layer.dilation_rate))
    return _activated(to, to.add(name, operation, sources, _own_weights(layer)), layer)


def _separable(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    weights = _own_weights(layer)
    first = DepthwiseConv2D(_pair(layer.strides), layer.padding, _pair(layer.dilation_rate))
    spatial = {"depthwise_kernel": weights.pop("depthwise_kernel")}
    pointwise = {"kernel": weights.pop("pointwise_kernel"), **weights}
    middle = to.add(f"{name}/depthwise", first, sources, spatial)
    return _activated(to, to.add(name, Conv2D((1, 1), "valid"), (middle,), pointwise), layer)


def _dense(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return _activated(to, to.add(name, Dense(), sources, _own_weights(layer)), layer)


def _batch_norm(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if tuple(layer.axis) != (layer.input_spec.ndim - 1,):
        raise UntranslatableError("batch-norm must be over the last axis")
    weights = _own_weights(layer)
    channels = weights["moving_mean"].shape
    weights = {"gamma": np.ones(channels), "beta": np.zeros(channels), **weights}  # center=False or scale=False
    return to.add(name, BatchNorm(float(layer.epsilon), float(to.momentum or layer.momentum)), sources, weights)


def _relu(layer: Any) -> Operation:
    if layer.threshold or layer.max_value not in (None, 6.0) or (layer.negative_slope and layer.max_value is not None):
        raise UntranslatableError("only ReLU, ReLU6 and a ReLU with a negative slope")
    if layer.negative_slope:
        return LeakyRelu(float(layer.negative_slope))
    return Relu() if layer.max_value is None else Relu6()


def _elu(layer: Any) -> Operation:
    if float(layer.alpha) != 1.0:
        raise UntranslatableError("alpha must be 1")
    return Elu()


def _softmax(layer: Any) -> Operation:
    if layer.axis not in (-1,):
        raise UntranslatableError("must be over the last axis")
    return Softmax()


def _of_two(operation: Operation) -> Translate:
    def chain(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
        """Sums and products of more than two tensors are made two by two."""
        made = sources[0]
        for place, source in enumerate(sources[1:], 2):
            made = to.add(name if place == len(sources) else f"{name}/{place}", operation, (made, source))
        return made

    return chain


def _concat(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer.axis not in (-1, len(layer.output_shape) - 1):
        raise UntranslatableError("must be over the last axis")
    return to.add(name, Concat(), sources)


def _up_sample(layer: Any) -> Operation:
    if layer.interpolation not in ("nearest", "bilinear"):
        raise UntranslatableError(f"interpolation {layer.interpolation}; known: nearest, bilinear")
    return UpSample(_pair(layer.size), layer.interpolation == "bilinear")


def _rescaling(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    """x · scale + offset, as a depthwise convolution of one pixel."""
    channels = layer.output_shape[-1]
    weights = {
        "depthwise_kernel": np.broadcast_to(np.asarray(layer.scale, np.float32), channels).reshape(1, 1, channels, 1),
        "bias": np.broadcast_to(np.asarray(layer.offset, np.float32), channels),
    }
    return to.add(name, DepthwiseConv2D((1, 1), "valid"), sources, weights)


def _input(layer: Any) -> Operation:
    shape = layer.input_shape[0][1:]
    if None in shape:
        raise UntranslatableError("its pictures have no fixed size; give all of input_shape")
    return Input(tuple(int(n) for n in shape))


def _pool(kind: type) -> Translate:
    return _one(lambda layer: kind(_pair(layer.pool_size), _pair(layer.strides), layer.padding))


def _reshape(layer: Any) -> Operation:
    return Reshape(tuple(int(n) for n in layer.output_shape[1:]))


HINTS = {
    "Normalization": "leave it out and set data.preprocessing.mean and std",
    "Lambda": "its code cannot be translated",
    "TFOpLambda": "an operation written outside of a layer; use a layer of the known kinds",
}

TRANSLATIONS: dict[str, Translate] = {
    "InputLayer": _one(_input),
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "Rescaling": _rescaling,
    "ReLU": _one(_relu),
    "LeakyReLU": _one(lambda layer: LeakyRelu(float(layer.alpha))),
    "ELU": _one(_elu),
    "Activation": lambda to, name, layer, sources: _activation(to, name, layer.activation, sources),
    "Softmax": _one(_softmax),
    "Add": _of_two(Add()),
    "Multiply": _of_two(Multiply()),
    "Concatenate": _concat,
    "ZeroPadding2D": _one(lambda layer: Pad(_pair(layer.padding[0]), _pair(layer.padding[1]))),
    "UpSampling2D": _one(_up_sample),
    "AveragePooling2D": _pool(AveragePool),
    "MaxPooling2D": _pool(MaxPool),
    "GlobalAveragePooling2D": _one(lambda layer: GlobalAveragePool(bool(layer.keepdims))),
    "GlobalMaxPooling2D": _one(lambda layer: GlobalMaxPool(bool(layer.keepdims))),
    "Reshape": _one(_reshape),
    "Flatten": _one(_reshape),
    "Dropout": _one(lambda layer: Dropout(float(layer.rate))),
    "SpatialDropout2D": _one(lambda layer: Dropout(float(layer.rate))),
}
