"""A functional Keras classifier as a graph."""

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
"""PaddleSlim's names of a graph's input and output, which no other node may have."""
PICTURES = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Rescaling")
"""Layers that Keras applies to tensors of any rank, and that are known for pictures alone."""

HELD = ("kernel", "depthwise", "pointwise", "bias", "gamma", "beta", "activity")
"""What Keras' layers can have a regularizer or a constraint for."""


@dataclass(frozen=True)
class LayerOutput:
    """A tensor of a Keras model, and the node of the graph that makes it.

    Attributes:
        layer: name and kind of the layer, for messages.
        tensor: Keras' symbol.
        node: the node's name.
    """

    layer: str
    tensor: Any
    node: str


@dataclass(frozen=True)
class Part:
    """A Keras model: the whole, or one that is used as a layer.

    Attributes:
        model: the model.
        reads: the tensor of the model around it that it reads; None for the whole.
        outputs: the tensors of its layers, in their order.
    """

    model: Any
    reads: Any | None
    outputs: list[LayerOutput]


@dataclass(frozen=True)
class Translated:
    """A graph and where it comes from.

    Attributes:
        graph: the graph.
        parts: of the Keras model: the whole, then those that are used as layers.
        said: what of the model only matters in training, and is not taken over.
    """

    graph: Graph
    parts: tuple[Part, ...]
    said: tuple[str, ...]


def graph_of(model: Any, momentum: float | None = None) -> Graph:
    """Return the graph of a Keras model; see `translated`."""
    return translated(model, momentum).graph


def translated(model: Any, momentum: float | None = None) -> Translated:
    """Return the graph of a functional or sequential tf_keras model, with its weights.

    The first input and the last output get PaddleSlim's names for them, `image` and `fc_0.tmp_2`, as aliases. An
    activation inside a layer becomes a node of its own, `<layer>/<activation>`. A model used as a layer becomes its
    layers. Layers and functions are known by what they are, not by what they are called.

    Names are those of the layers. A layer of an inner model that has the name of one outside, or of one before it, gets
    its model's name in front; a node that is no layer of its own gets a number behind its name where a layer has it.

    Args:
        model: the Keras model.
        momentum: decay of batch-norm's moving statistics, in place of that of its layers.

    Raises:
        UserError: layers cannot be translated; all are listed, with their kinds and why.
    """
    check_visible(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"model {model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a classifier has one "
            "of each"
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
    """Raise where the layers of a tf_keras model cannot be seen, or are not all of what it computes.

    Raises:
        UserError: it says how to write the model instead.
    """
    if getattr(model, "inputs", None) is None or not hasattr(model, "_nodes_by_depth"):
        if type(model).__name__ == "Sequential":
            raise UserError(
                f"model {model.name} has no input yet: let it begin with tf_keras.layers.Input(input_shape)"
            )
        raise UserError(
            f"model {model.name} ({called(model)}) is a subclass of Model, and what it computes cannot be seen: with "
            "`pictures = tf_keras.layers.Input(input_shape)`, return `tf_keras.Model(pictures, model.call(pictures))`"
        )
    if not _is_plain(model):
        raise UserError(
            f"model {model.name} ({called(model)}) has a call of its own, which cannot be translated: return "
            "tf_keras.Model(inputs, outputs) or tf_keras.Sequential"
        )


def _is_plain(model: Any) -> bool:
    """Return whether a model computes what its layers do and nothing else."""
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
    """Return the kind of a layer that is exactly one of tf_keras' own and can be translated."""
    from tf_keras import layers

    kind = type(layer).__name__
    own = kind in TRANSLATIONS and type(layer) is getattr(layers, kind) and "call" not in vars(layer)
    return kind if own else None


def _only_in_training(parts: Sequence[Part]) -> Iterator[str]:
    """Yield what the layers' own training has that ours has not."""
    uses = [use for part in parts for use in _in_order(part.model)]
    frozen = [
        use.layer.name
        for use in uses
        if use.layer.weights and not (use.layer.trainable and use.call_kwargs.get("training") is None)
    ]
    if frozen:
        yield f"frozen in the model, and trained here like all others: {_listed(frozen)}"
    held = [use.layer.name for use in uses if _is_held(use.layer)]
    if held:
        yield f"regularizers and constraints are not used here: {_listed(held)}; see the training's weight_decay"
    spatial = [use.layer.name for use in uses if known_kind(use.layer) == "SpatialDropout2D"]
    if spatial:
        yield f"spatial dropout becomes plain dropout here, of single values: {_listed(spatial)}"


def _is_held(layer: Any) -> bool:
    return any(
        getattr(layer, f"{of}_{what}", None) is not None for of in HELD for what in ("regularizer", "constraint")
    )


def _listed(names: Sequence[str], most: int = 5) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class Translation:
    """A graph on its way.

    Attributes:
        momentum: of batch-norm, in place of the layers' own.
        layers: names of the outer model's layers, which no other node may have.
        nodes: in order.
        weights: by `<node>/<role>`.
        tensors: the node that makes a Keras tensor, by the tensor's id.
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
        own = name == self._layer_name  # no other node may take a layer's name from it
        reserved = self._taken | ((ALIASES if self.nodes else set()) if own else self.layers | ALIASES)
        name = free_name(name, reserved)
        self._taken.add(name)
        self.nodes.append(Node(name, operation, sources))
        self.weights |= {f"{name}/{role}": np.asarray(values, np.float32) for role, values in (weights or {}).items()}
        return name

    @property
    def rank(self) -> int:
        """Axes of the tensor that the layer being translated makes, without that of the batch."""
        return len(self._use.output_shapes) - 1

    def output_shape(self) -> tuple[int, ...]:
        """Return the shape, without the batch, that the layer being translated makes."""
        shape = tuple(self._use.output_shapes)[1:]
        if None in shape and not self.problems:  # an inner model for pictures of any size
            (source,) = (self.tensors[id(tensor)] for tensor in self._use.keras_inputs)
            known = shapes(Graph(tuple(self.nodes), (), self.weights))[source]
            shape = tuple(self._use.layer.compute_output_shape((None, *known)))[1:]
        return tuple(0 if size is None else int(size) for size in shape)

    def model(self, model: Any, reads: Any | None) -> None:
        """Add the layers of a model; `reads` is the tensor it reads where it is used as a layer."""
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
            made = self._translated(keras_node, sources, part.model.name if part.reads is not None else None)
        except UntranslatableError as error:
            self.problems.append(f"{layer.name} ({kind}{f': {error}' if str(error) else ''})")
            return
        self.tensors[id(keras_node.outputs)] = made
        part.outputs.append(LayerOutput(f"{layer.name} ({kind})", keras_node.outputs, made))

    def _translated(self, keras_node: Any, sources: tuple[str, ...], inside: str | None) -> str:
        layer = keras_node.layer
        if id(layer) in self._seen:
            raise UntranslatableError("is used twice; give each use a layer of its own")
        self._seen.add(id(layer))
        _check_call(keras_node)
        if _is_plain(layer):
            if len(sources) != 1 or len(layer.outputs) != 1:
                raise UntranslatableError("a model used as a layer has one input and one output")
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
    """Raise where a layer is called with more than its input, or as in training."""
    given = {key: value for key, value in keras_node.call_kwargs.items() if value is not None}
    if given.get("training", False) is not False:
        raise UntranslatableError("is called with training=True, and so computes otherwise than for inference")
    given.pop("training", None)
    if given or len(keras_node.call_args) > 1:
        more = ", ".join(given) or f"{len(keras_node.call_args)} arguments"
        raise UntranslatableError(f"is called with {more}; it is known with its input alone")


def _check_layer(layer: Any, kind: str, keras_node: Any) -> None:
    """Raise where a layer of a known kind has a setting that is not known."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UntranslatableError("channels come first; they must come last")
    if layer.compute_dtype != "float32" and kind != "InputLayer":
        raise UntranslatableError(f"computes in {layer.compute_dtype}; make it with dtype float32")
    if kind in PICTURES and len(keras_node.input_shapes) != 4:
        raise UntranslatableError(f"reads tensors of rank {len(keras_node.input_shapes)}; it is known for pictures")


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
    activation = _activation(layer.activation)
    if isinstance(activation.operation, Identity):
        return name
    return _add_activation(to, f"{name}/{activation.name}", activation, (name,))


def _activation(function: Any) -> Activation:
    """Return the activation that a function or a layer given as one is."""
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
    rank = layer.input_spec.ndim
    if rank not in (2, 4):
        raise UntranslatableError(f"reads tensors of rank {rank}; it is known for pictures and vectors")
    if layer.renorm or layer.virtual_batch_size is not None or layer.adjustment is not None:
        raise UntranslatableError("renorm, virtual_batch_size and adjustment are not known")
    weights = _own_weights(layer)
    channels = weights["moving_mean"].shape
    weights = {"gamma": np.ones(channels), "beta": np.zeros(channels), **weights}  # center=False or scale=False
    return to.add(name, BatchNorm(float(layer.epsilon), float(to.momentum or layer.momentum)), sources, weights)


def _dropout(layer: Any) -> Operation:
    if getattr(layer, "noise_shape", None) is not None:
        raise UntranslatableError("noise_shape; dropout is known of single values alone")
    return Dropout(float(layer.rate))


ACTIVATION_LAYERS: dict[str, Callable[[Any], Operation]] = {
    "ReLU": lambda layer: relu(layer.negative_slope, layer.max_value, layer.threshold),
    "LeakyReLU": lambda layer: LeakyRelu(float(layer.alpha)),
    "ELU": lambda layer: elu(layer.alpha),
    "Softmax": lambda layer: softmax(layer.axis),
}


def _of_two(operation: Operation) -> Translate:
    def chain(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
        """Sums and products of more than two tensors are made two by two."""
        made = sources[0]
        for place, source in enumerate(sources[1:], 2):
            made = to.add(name if place == len(sources) else f"{name}/{place}", operation, (made, source))
        return made

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
    """x · scale + offset, as a depthwise convolution of one pixel."""
    channels = to.output_shape()[-1]
    weights = {
        "depthwise_kernel": np.broadcast_to(np.asarray(layer.scale, np.float32), channels).reshape(1, 1, channels, 1),
        "bias": np.broadcast_to(np.asarray(layer.offset, np.float32), channels),
    }
    return to.add(name, DepthwiseConv2D((1, 1), "valid"), sources, weights)


def _input(layer: Any) -> Operation:
    shape = layer.input_shape[0][1:]
    if None in shape:
        raise UntranslatableError("its pictures have no fixed size; give all of input_shape")
    if layer.dtype != "float32" or layer.sparse or layer.ragged:
        what = "sparse or ragged tensors" if layer.sparse or layer.ragged else layer.dtype
        raise UntranslatableError(f"its pictures are {what}; they must be float32")
    return Input(tuple(int(n) for n in shape))


def _pool(kind: type) -> Translate:
    return _one(lambda layer: kind(_pair(layer.pool_size), _pair(layer.strides), layer.padding))


def _reshape(to: Translation, name: str, layer: Any, sources: tuple[str, ...]) -> str:
    return to.add(name, Reshape(to.output_shape()), sources)


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
