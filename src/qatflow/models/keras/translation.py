"""A graph under construction from the layers of a Keras model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qatflow.graph.graph import Graph, Node
from qatflow.graph.names import free_name
from qatflow.graph.operations import BatchNorm, Operation
from qatflow.graph.shapes import shapes
from qatflow.models.keras.library import OPERATORS, UntranslatableError, called, in_order, is_plain_model, own_kind

NESTED = ("Functional", "Model", "Sequential")
ALIASES = {"image", "fc_0.tmp_2"}
"""PaddleSlim's names for a graph's input and output, which no other node may have."""
PICTURES = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Rescaling", "Normalization")
"""Layers that Keras applies to tensors of any rank, but that are only translated for pictures."""

SEVERAL_ARGUMENTS = ("MultiHeadAttention",)
"""Layers that are called with several tensors, whose translation looks at the arguments."""

Translate = Callable[["Translation", str, Any, tuple[str, ...]], str]
"""Adds the nodes of a layer: the graph under construction, the node's name, the layer, the nodes that it reads. Returns
the node that computes the layer's output."""


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


@dataclass
class Translation:
    """A graph under construction.

    Attributes:
        table: how each kind of layer is translated, by the kind.
        hints: what to do about kinds that are not.
        momentum: of batch-norm, in place of the layers' own.
        layers: names of the outer model's layers, which no other node may have.
        nodes: in order.
        weights: by `<node>/<role>`.
        tensors: name of the node that computes a Keras tensor, by the tensor's id.
        problems: layers that cannot be translated.
        parts: the models, the outer one first.
        use: the call of the current layer, a node of Keras.
        frozen: nodes whose weights the model's own training would not change (`trainable=False`).
        moving_statistics: batch-norms that would use their moving statistics in it (that, or `training=False`).
        untrained: names of the layers of both.
        in_inference: whether the current layer is called as in inference (`training=False`).
    """

    table: Mapping[str, Translate]
    hints: Mapping[str, str]
    momentum: float | None = None
    layers: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    moving_statistics: set[str] = field(default_factory=set)
    untrained: list[str] = field(default_factory=list)
    in_inference: bool = False
    _trainable: bool = True
    _seen: set[int] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    use: Any = None
    _layer_name: str = ""

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
        return len(self.use.output_shapes) - 1

    def output_shape(self) -> tuple[int, ...]:
        """Return the shape of the current layer's output, without the batch."""
        shape = tuple(self.use.output_shapes)[1:]
        if None in shape and not self.problems:  # in an inner model for pictures of any size
            (source,) = (self.tensors[id(tensor)] for tensor in self.use.keras_inputs)
            known = shapes(Graph(tuple(self.nodes), (), self.weights))[source]
            shape = tuple(self.use.layer.compute_output_shape((None, *known)))[1:]
        return tuple(0 if size is None else int(size) for size in shape)

    def arguments(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what the current layer is called with, without those that are None: nodes in place of tensors.

        Args:
            names: of the arguments of the layer's `call`, in order.
        """
        given = dict(zip(names, self.use.call_args, strict=False)) | self.use.call_kwargs
        return {name: self.tensors.get(id(value), value) for name, value in given.items() if value is not None}

    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of the current layer's first input, without the batch."""
        source = self.tensors.get(id(self.use.keras_inputs[0]))
        if source is None:  # it could not be translated, which is a problem of its own
            return tuple(size or 0 for size in self.use.input_shapes[1:])
        return self.shape_of(source)

    def shape_of(self, node: str) -> tuple[int, ...]:
        """Return the shape of a node's tensor, without the batch."""
        return shapes(Graph(tuple(self.nodes), (), self.weights))[node]

    def model(self, model: Any, reads: Any | None) -> None:
        """Add the layers of a model; `reads` is its input tensor if it is used as a layer."""
        from tf_keras.layers import InputLayer

        part = Part(model, reads, [])
        self.parts.append(part)
        around = self._trainable, self.in_inference
        self._trainable &= bool(model.trainable)
        if reads is not None:
            self.tensors[id(model.inputs[0])] = self.tensors.get(id(reads), "")
        for keras_node in in_order(model):
            if reads is None or not isinstance(keras_node.layer, InputLayer):
                self.in_inference = around[1] or keras_node.call_kwargs.get("training") is False
                self._layer(keras_node, part)
        self._trainable, self.in_inference = around

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
        again = id(layer) in self._seen
        self._seen.add(id(layer))
        if own_kind(layer) not in OPERATORS:
            _check_call(keras_node)
        if is_plain_model(layer):
            if len(sources) != 1 or len(layer.outputs) != 1:
                raise UntranslatableError("a model used as a layer must have one input and one output")
            self.model(layer, keras_node.keras_inputs[0])
            return self.tensors.get(id(layer.outputs[0]), "")
        kind = own_kind(layer)
        if kind is None or kind not in self.table:
            raise UntranslatableError(self._unknown(layer))
        _check_layer(layer, kind, keras_node)
        self.use, self._layer_name = keras_node, self._name(layer.name, inside, again)
        first = len(self.nodes)
        node = self.table[kind](self, self._layer_name, layer, sources)
        self._note_untrained(layer, self.nodes[first:])
        return node

    def _note_untrained(self, layer: Any, nodes: list[Node]) -> None:
        """Mark what the model's own training would leave as it is, as Keras decides it."""
        owners = {key.rpartition("/")[0] for key in self.weights}
        weighted = [node for node in nodes if node.name in owners]
        frozen = not (layer.trainable and self._trainable)
        # batch-norm in a frozen model still follows its own flag
        fixed = [n.name for n in weighted if isinstance(n.operation, BatchNorm)]
        fixed = fixed if self.in_inference or not layer.trainable else []
        self.moving_statistics.update(fixed)
        if not layer.trainable_weights or frozen:  # constants, as of Rescaling, are not trained either
            self.frozen.update(node.name for node in weighted)
        if layer.weights and (frozen or fixed):
            self.untrained.append(layer.name)

    def _name(self, name: str, inside: str | None, again: bool) -> str:
        if inside is None:
            return free_name(name, self._taken | self.layers) if again else name
        if name in self.layers or any(node.name.split("/")[0] == name for node in self.nodes):
            name = f"{inside}/{name}"
        return free_name(name, self._taken | self.layers)

    def _unknown(self, layer: Any) -> str:
        kind = type(layer).__name__
        if kind in self.hints:
            return self.hints[kind]
        if not called(layer).startswith("tf_keras.") or kind in (*self.table, *NESTED):
            return f"{called(layer)} is not tf_keras' own class, and what it computes cannot be seen"
        return ""


def _check_call(keras_node: Any) -> None:
    """Raise if a layer is called with more than its input, or as in training."""
    keywords = {key: value for key, value in keras_node.call_kwargs.items() if value is not None}
    if keywords.get("training", False) is not False:
        raise UntranslatableError("is called with training=True, so it does not compute what inference would")
    keywords.pop("training", None)
    if own_kind(keras_node.layer) in SEVERAL_ARGUMENTS:
        return
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
