"""Translates a functional or sequential Keras classifier into a graph."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.names import free_name
from qatflow.graph.operations import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    Input,
    LeakyRelu,
    MaxPool,
    Multiply,
    Operation,
    Pad,
    Reshape,
    Sigmoid,
    UpSample,
)
from qatflow.graph.shapes import shapes
from qatflow.models.activations import Activation, UntranslatableError, activation_of, called, elu, relu, softmax
from qatflow.models.standalone_batch_norm import carried

NESTED = ("Functional", "Model", "Sequential")
ALIASES = {"image", "fc_0.tmp_2"}
"""PaddleSlim's names for a graph's input and output, which no other node may have."""
PICTURES = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Rescaling")
"""Layers that Keras applies to tensors of any rank, but that are only translated for pictures."""

REGULARIZED = ("kernel", "depthwise", "pointwise", "bias", "gamma", "beta", "activity")
"""What a Keras layer can have a regularizer or a constraint for."""


@dataclass(frozen=True)
class LayerOutput:
    """A tensor of a Keras model, and the node of the graph that computes it.

    Attributes:
        layer: name and kind of the layer, for messages.
        tensor: Keras' symbolic tensor.
        node: the node's name.
    """

    layer: str
    tensor: Any
    node: str


@dataclass(frozen=True)
class Part:
    """A Keras model: the whole, or a model used as a layer in it.

    Attributes:
        model: the model.
        reads: its input, a tensor of the model around it; None for the whole.
        outputs: output tensors of its layers, in order.
    """

    model: Any
    reads: Any | None
    outputs: list[LayerOutput]


@dataclass(frozen=True)
class Translated:
    """A graph and the Keras model it was translated from.

    Attributes:
        graph: the graph.
        parts: the whole Keras model, then the models used as layers.
        notes: settings of the model that only matter in training, and are not used here; one sentence each.
    """

    graph: Graph
    parts: tuple[Part, ...]
    notes: tuple[str, ...]


def graph_of(model: Any, momentum: float | None = None) -> Graph:
    """Return the graph of a Keras model; see `translated`."""
    return translated(model, momentum).graph


def translated(model: Any, momentum: float | None = None) -> Translated:
    """Return the graph of a functional or sequential tf_keras model, with its weights.

    The input and the output get PaddleSlim's names, `image` and `fc_0.tmp_2`, as aliases. An activation inside a layer
    becomes a node of its own, `<layer>/<activation>`. A model used as a layer is replaced by its layers. Layers and
    functions are known by identity, not by name.

    Nodes have the names of their layers. If a layer of an inner model has the name of an outer or earlier layer, the
    inner model's name is put in front. If a node that is not a layer has a layer's name, a number is added.

    Args:
        model: the Keras model.
        momentum: decay of batch-norm's moving statistics, in place of that of its layers.

    Raises:
        UserError: layers cannot be translated; lists all of them, with kinds and reasons.
    """
    check_visible(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"model {model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a classifier has one "
            "each"
        )
    to = Translation(momentum, layers={node.layer.name for node in _in_order(model)})
    to.model(model, None)
    if to.problems:
        raise UserError(
            f"model {model.name}: these layers cannot be translated: {'; '.join(to.problems)}. Known kinds: "
            f"{', '.join(sorted(TRANSLATIONS))}"
        )
    output = to.tensors[id(model.outputs[0])]
    graph = Graph(tuple(to.nodes), (output,), to.weights)
    graph = carried(graph)
    graph = Graph(
        graph.nodes, graph.outputs, graph.weights, aliases={"image": to.nodes[0].name, "fc_0.tmp_2": graph.outputs[0]}
    )
    return Translated(graph, tuple(to.parts), tuple(_only_in_training(to.parts)))


def check_visible(model: Any) -> None:
    """Raise if the layers of a tf_keras model cannot be seen, or are not everything that it computes.

    Raises:
        UserError: says how to write the model instead.
    """
    if getattr(model, "inputs", None) is None or not hasattr(model, "_nodes_by_depth"):
        if type(model).__name__ == "Sequential":
            raise UserError(f"model {model.name} has no input yet: start it with tf_keras.layers.Input(input_shape)")
        raise UserError(
            f"model {model.name} ({called(model)}) is a subclass of Model, and what it computes cannot be seen: with "
            "`pictures = tf_keras.layers.Input(input_shape)`, return `tf_keras.Model(pictures, model.call(pictures))`"
        )
    if not _is_plain(model):
        raise UserError(
            f"model {model.name} ({called(model)}) has its own call method, which cannot be translated: return "
            "tf_keras.Model(inputs, outputs) or tf_keras.Sequential"
        )


def _is_plain(model: Any) -> bool:
    """Return whether a model computes what its layers compute, and nothing else."""
    import tf_keras
    from tf_keras.src.engine.functional import Functional

    own = type(model)
    return (
        isinstance(model, Functional)
        and own.call in (Functional.call, tf_keras.Sequential.call)
        and own.__call__ is tf_keras.Model.__call__
        and "call" not in vars(model)
    )


def known_kind(layer: Any) -> str | None:
    """Return the kind of a layer if it is exactly one of tf_keras' own and can be translated, else None."""
    from tf_keras import layers

    kind = type(layer).__name__
    own = kind in TRANSLATIONS and type(layer) is getattr(layers, kind) and "call" not in vars(layer)
    return kind if own else None


def _only_in_training(parts: Sequence[Part]) -> Iterator[str]:
    """Yield a sentence for each setting of the layers that their own training would use, but ours does not."""
    uses = [use for part in parts for use in _in_order(part.model)]
    frozen = [
        use.layer.name
        for use in uses
        if use.layer.weights and not (use.layer.trainable and use.call_kwargs.get("training") is None)
    ]
    if frozen:
        yield f"frozen in the model, and trained here like all others: {_listed(frozen)}"
    regularized = [use.layer.name for use in uses if _is_regularized(use.layer)]
    if regularized:
        yield f"regularizers and constraints are not used here: {_listed(regularized)}; see the training's weight_decay"
    spatial = [use.layer.name for use in uses if known_kind(use.layer) == "SpatialDropout2D"]
    if spatial:
        yield f"spatial dropout becomes plain dropout here, of single values: {_listed(spatial)}"


def _is_regularized(layer: Any) -> bool:
    attributes = (f"{weight}_{kind}" for weight in REGULARIZED for kind in ("regularizer", "constraint"))
    return any(getattr(layer, attribute, None) is not None for attribute in attributes)


def _listed(names: Sequence[str], most: int = 5) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class Translation:
    """A graph under construction.

    Attributes:
        momentum: of batch-norm, in place of the layers' own.
        layers: names of the outer model's layers, which no other node may have.
        nodes: in order.
        weights: by `<node>/<role>`.
        tensors: name of the node that computes a Keras tensor, by the tensor's id.
        problems: layers that cannot be translated.
        parts: the models, the outer one first.
    """

    momentum: float | None = None
    layers: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _layer_name: str = ""
    _use: Any = None

    def add(
        self, name: str, operation: Operation, sources: tuple[str, ...], weights: Mapping[str, np.ndarray] | None = None
    ) -> str:
        """Add a node with its weights by role; return its name."""
        own = name == self._layer_name  # no other node may take a layer's name
        reserved = self._taken | ((ALIASES if self.nodes else set()) if own else self.layers | ALIASES)
        name = free_name(name, reserved)
        self._taken.add(name)
        self.nodes.append(Node(name, operation, sources))
        self.weights |= {f"{name}/{role}": np.asarray(values, np.float32) for role, values in (weights or {}).items()}
        return name

    @property
    def rank(self) -> int:
        """Number of axes of the current layer's output, without the batch."""
        return len(self._use.output_shapes) - 1

    def output_shape(self) -> tuple[int, ...]:
        """Return the shape of the current layer's output, without the batch."""
        shape = tuple(self._use.output_shapes)[1:]
        if None in shape and not self.problems:  # in an inner model for pictures of any size
            (source,) = (self.tensors[id(tensor)] for tensor in self._use.keras_inputs)
            known = shapes(Graph(tuple(self.nodes), (), self.weights))[source]
            shape = tuple(self._use.layer.compute_output_shape((None, *known)))[1:]
        return tuple(0 if size is None else int(size) for size in shape)

    def model(self, model: Any, reads: Any | None) -> None:
        """Add the layers of a model; `reads` is its input tensor if it is used as a layer."""
        from tf_keras.layers import InputLayer

        part = Part(model, reads, [])
        self.parts.append(part)
        if reads is not None:
            self.tensors[id(model.inputs[0])] = self.tensors.get(id(reads), "")
        for keras_node in _in_order(model):
            if reads is None or not isinstance(keras_node.layer, InputLayer):
                self._layer(keras_node, part)

    def _layer(self, keras_node: Any, part: Part) -> None:
        layer, kind = keras_node.layer, type(keras_node.layer).__name__
        sources = tuple(self.tensors.get(id(tensor), "") for tensor in keras_node.keras_inputs)
        try:
            node = self._translated(keras_node, sources, part.model.name if part.reads is not None else None)
        except UntranslatableError as error:
            self.problems.append(f"{layer.name} ({kind}{f': {error}' if str(error) else ''})")
            return
        self.tensors[id(keras_node.outputs)] = node
        part.outputs.append(LayerOutput(f"{layer.name} ({kind})", keras_node.outputs, node))

    def _translated(self, keras_node: Any, sources: tuple[str, ...], inside: str | None) -> str:
        layer = keras_node.layer
        if id(layer) in self._seen:
            raise UntranslatableError("is used twice; use a separate layer each time")
        self._seen.add(id(layer))
        _check_call(keras_node)
        if _is_plain(layer):
            if len(sources) != 1 or len(layer.outputs) != 1:
                raise UntranslatableError("a model used as a layer must have one input and one output")
            self.model(layer, keras_node.keras_inputs[0])
            return self.tensors.get(id(layer.outputs[0]), "")
        kind = known_kind(layer)
        if kind is None:
            raise UntranslatableError(_unknown(layer))
        _check_layer(layer, kind, keras_node)
        self._use, self._layer_name = keras_node, self._name(layer.name, inside)
        return TRANSLATIONS[kind](self, self._layer_name, layer, sources)

    def _name(self, name: str, inside: str | None) -> str:
        if inside is None:
            return name
        if name in self.layers or any(node.name.split("/")[0] == name for node in self.nodes):
            name = f"{inside}/{name}"
        return free_name(name, self._taken | self.layers)


def _unknown(layer: Any) -> str:
    kind = type(layer).__name__
    if kind in HINTS:
        return HINTS[kind]
    if not called(layer).startswith("tf_keras.") or kind in (*TRANSLATIONS, *NESTED):
        return f"{called(layer)} is not tf_keras' own class, and what it computes cannot be seen"
    return ""


def _check_call(keras_node: Any) -> None:
    """Raise if a layer is called with more than its input, or as in training."""
    keywords = {key: value for key, value in keras_node.call_kwargs.items() if value is not None}
    if keywords.get("training", False) is not False:
        raise UntranslatableError("is called with training=True, so it does not compute what inference would")
    keywords.pop("training", None)
    if keywords or len(keras_node.call_args) > 1:
        more = ", ".join(keywords) or f"{len(keras_node.call_args)} arguments"
        raise UntranslatableError(f"is called with {more}; only a call with its input alone is known")


def _check_layer(layer: Any, kind: str, keras_node: Any) -> None:
    """Raise if a layer of a known kind has an unknown setting."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UntranslatableError("channels come first; they must come last")
    if layer.compute_dtype != "float32" and kind != "InputLayer":
        raise UntranslatableError(f"computes in {layer.compute_dtype}; make it with dtype float32")
    if kind in PICTURES and len(keras_node.input_shapes) != 4:
        rank = len(keras_node.input_shapes)
        raise UntranslatableError(f"reads tensors of rank {rank}; only pictures are known")


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
    """Add the activation inside a layer, whose node is `name`; return the node that computes the layer's output."""
    activation = _activation(layer.activation)
    if isinstance(activation.operation, Identity):
        return name
    return _add_activation(to, f"{name}/{activation.name}", activation, (name,))


def _activation(function: Any) -> Activation:
    """Return the activation given to a layer, as a function or as a layer."""
    kind = known_kind(function)
    if kind == "Activation":
        return _activation(function.activation)
    if kind in ACTIVATION_LAYERS:
        operation = ACTIVATION_LAYERS[kind](function)
        return Activation(_snake(type(operation).__name__), operation)
    return activation_of(function)


def _add_activation(to: Translation, name: str, activation: Activation, sources: tuple[str, ...]) -> str:
    if activation.operation is not None:
        return to.add(name, activation.operation, sources)
    return to.add(name, Multiply(), (*sources, to.add(f"{name}/sigmoid", Sigmoid(), sources)))


def _snake(name: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


def _one(make: Callable[[Any], Operation]) -> Translate:
    """Return the translation of a layer into one node without weights."""
    return lambda to, name, layer, sources: to.add(name, make(layer), sources)


def _conv(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer.groups != 1:
        raise UntranslatableError(f"groups={layer.groups}; grouped convolutions cannot be trained on CPUs")
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
    rank = layer.input_spec.ndim
    if rank not in (2, 4):
        raise UntranslatableError(f"reads tensors of rank {rank}; only pictures and vectors are known")
    if layer.renorm or layer.virtual_batch_size is not None or layer.adjustment is not None:
        raise UntranslatableError("renorm, virtual_batch_size and adjustment are not known")
    weights = _own_weights(layer)
    channels = weights["moving_mean"].shape
    weights = {"gamma": np.ones(channels), "beta": np.zeros(channels), **weights}  # center=False or scale=False
    return to.add(name, BatchNorm(float(layer.epsilon), float(to.momentum or layer.momentum)), sources, weights)


def _dropout(layer: Any) -> Operation:
    if getattr(layer, "noise_shape", None) is not None:
        raise UntranslatableError("noise_shape; only dropout of single values is known")
    return Dropout(float(layer.rate))


ACTIVATION_LAYERS: dict[str, Callable[[Any], Operation]] = {
    "ReLU": lambda layer: relu(layer.negative_slope, layer.max_value, layer.threshold),
    "LeakyReLU": lambda layer: LeakyRelu(float(layer.alpha)),
    "ELU": lambda layer: elu(layer.alpha),
    "Softmax": lambda layer: softmax(layer.axis),
}


def _of_two(operation: Operation) -> Translate:
    def chain(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
        """Sums and products of more than two tensors are computed two at a time."""
        result = sources[0]
        for place, source in enumerate(sources[1:], 2):
            result = to.add(name if place == len(sources) else f"{name}/{place}", operation, (result, source))
        return result

    return chain


def _concat(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    if layer.axis not in (-1, to.rank):
        raise UntranslatableError("must be over the last axis")
    return to.add(name, Concat(), sources)


def _up_sample(layer: Any) -> Operation:
    if layer.interpolation not in ("nearest", "bilinear"):
        raise UntranslatableError(f"interpolation {layer.interpolation}; known: nearest, bilinear")
    return UpSample(_pair(layer.size), layer.interpolation == "bilinear")


def _rescaling(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    """Add x · scale + offset as a 1 × 1 depthwise convolution."""
    channels = to.output_shape()[-1]
    weights = {
        "depthwise_kernel": np.broadcast_to(np.asarray(layer.scale, np.float32), channels).reshape(1, 1, channels, 1),
        "bias": np.broadcast_to(np.asarray(layer.offset, np.float32), channels),
    }
    return to.add(name, DepthwiseConv2D((1, 1), "valid"), sources, weights)


def _input(layer: Any) -> Operation:
    shape = layer.input_shape[0][1:]
    if None in shape:
        raise UntranslatableError("its pictures have no fixed size; give a complete input_shape")
    if layer.dtype != "float32" or layer.sparse or layer.ragged:
        kind = "sparse or ragged tensors" if layer.sparse or layer.ragged else layer.dtype
        raise UntranslatableError(f"its pictures are {kind}; they must be float32")
    return Input(tuple(int(n) for n in shape))


def _pool(kind: type) -> Translate:
    return _one(lambda layer: kind(_pair(layer.pool_size), _pair(layer.strides), layer.padding))


def _reshape(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return to.add(name, Reshape(to.output_shape()), sources)


HINTS = {
    "Normalization": "leave it out and set data.preprocessing.mean and std",
    "Lambda": "its code cannot be translated",
    "TFOpLambda": "an operation outside a layer; use a layer of the known kinds",
}

TRANSLATIONS: dict[str, Translate] = {
    "InputLayer": _one(_input),
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "Rescaling": _rescaling,
    **{kind: _one(make) for kind, make in ACTIVATION_LAYERS.items()},
    "Activation": lambda to, name, layer, sources: _add_activation(to, name, _activation(layer.activation), sources),
    "Add": _of_two(Add()),
    "Multiply": _of_two(Multiply()),
    "Concatenate": _concat,
    "ZeroPadding2D": _one(lambda layer: Pad(_pair(layer.padding[0]), _pair(layer.padding[1]))),
    "UpSampling2D": _one(_up_sample),
    "AveragePooling2D": _pool(AveragePool),
    "MaxPooling2D": _pool(MaxPool),
    "GlobalAveragePooling2D": _one(lambda layer: GlobalAveragePool(bool(layer.keepdims))),
    "GlobalMaxPooling2D": _one(lambda layer: GlobalMaxPool(bool(layer.keepdims))),
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Dropout": _one(_dropout),
    "SpatialDropout2D": _one(_dropout),
}
