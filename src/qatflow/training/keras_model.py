"""The Keras model of a graph, for training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf
import tf_keras
from tf_keras import layers

from qatflow.config.sections.base import Precision
from qatflow.graph.graph import Graph, Node
from qatflow.graph.head import head_of
from qatflow.graph.names import LAST_LAYER, layer_names
from qatflow.graph.operations import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Elu,
    Exp,
    Gelu,
    GlobalAveragePool,
    GlobalMaxPool,
    HardSigmoid,
    HardSwish,
    Identity,
    Input,
    LeakyRelu,
    Maximum,
    MaxPool,
    Minimum,
    Mish,
    Multiply,
    Pad,
    Permute,
    PictureDropout,
    PRelu,
    Relu,
    Relu6,
    Rescale,
    Reshape,
    Resize,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout,
    Subtract,
    Tanh,
    ThresholdedRelu,
    UpSample,
)
from qatflow.training.float_operations import FLOAT_LAYERS
from qatflow.training.operand import with_operand
from qatflow.training.own_layers import Rescaled, TransposedConv2D, cropped, padded_with_lowest, resized
from qatflow.training.precision import SINGLE, computing_in
from qatflow.training.replicas import part


class Hooks(Protocol):
    """What a compression strategy puts into the model while it is built."""

    def begin(self, graph: Graph) -> None:
        """Called before the model of a graph is built, also when a model for another graph was built before."""

    def layer(self, node: Node, layer: Any) -> Any:
        """Return `layer`, or a wrapper around it."""

    def after(self, node: Node) -> Any | None:
        """Return a layer to put behind the node's, or None."""

    def decayed(self) -> Sequence[tuple[Any, float]]:
        """Return variables of the hooks' own that have an L2 factor of their own, with it, of the model built last."""


class NoHooks:
    """The float model."""

    def begin(self, graph: Graph) -> None:
        """Do nothing."""

    def layer(self, node: Node, layer: Any) -> Any:
        """Return the layer as it is."""
        return layer

    def after(self, node: Node) -> Any | None:
        """Put nothing behind it."""
        return None

    def decayed(self) -> Sequence[tuple[Any, float]]:
        """Return none."""
        return ()


@dataclass(frozen=True)
class TrainingModel:
    """A Keras model, and which of its variables and tensors belong to which node of the graph.

    Attributes:
        graph: the graph it was made from.
        keras: pictures (float32 [batch, height, width, channels]) to logits (float32 [batch, classes]); a last
            softmax, or last sigmoids, are left out, since the loss takes logits.
        variables: the Keras variables by the graph's names for them (`<node>/<role>`).
        tensors: Keras' symbolic output of each node, as the nodes behind it see it.
    """

    graph: Graph
    keras: Any
    variables: Mapping[str, Any]
    tensors: Mapping[str, Any]

    def with_tensors(self, names: Sequence[str]) -> Any:
        """Return a Keras model of the same layers: pictures to a list of the logits and the outputs of some nodes."""
        return tf_keras.Model(self.keras.inputs, [*self.keras.outputs, *(self.tensors[name] for name in names)])

    def trained(self) -> list[Any]:
        """Return the variables that training changes, in Keras' order: all but those of frozen nodes."""
        kept = {id(v) for name, v in self.variables.items() if name.rpartition("/")[0] in self.graph.frozen}
        return [variable for variable in self.keras.trainable_variables if id(variable) not in kept]

    def weights(self) -> dict[str, Any]:
        """Return the current weights as float32 arrays, by the graph's names for them."""
        return {name: variable.numpy() for name, variable in self.variables.items()}


TOGETHER: dict[type[Dropout], Callable[[Sequence[int]], Sequence[int]]] = {
    Dropout: lambda shape: shape,
    SpatialDropout: lambda shape: [*(1 for _ in shape[1:]), shape[-1]],
    PictureDropout: lambda shape: [1 for _ in shape],
}
"""Shape of what dropout draws for a picture, by the shape of the picture: an axis of length 1 is dropped as a whole."""


class StepDropout(layers.Layer):
    """Dropout whose zeros depend only on the seed, the node and the step, so that a resumed run draws the same."""

    def __init__(self, rate: float, seed: tuple[int, int], step: Any, name: str, kind: type[Dropout] = Dropout):
        """Set up the layer.

        Args:
            rate: share of values zeroed in training.
            seed: the run's seed and the place of the node in the graph.
            step: variable (int64) that counts training steps.
            name: the layer's name.
            kind: which values are zeroed or kept together; see `TOGETHER`.
        """
        super().__init__(name=name)
        self.rate = rate
        self.kind = kind
        self.seed = seed
        self._step = lambda: step  # hidden from Keras: the optimizer owns the variable, not this layer

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the inputs, in training with zeros; a replica has those of its part of the whole batch."""
        if not training or self.rate == 0:
            return inputs
        first, second = self.seed
        seed = tf.stack([tf.constant(first * 1000 + second, tf.int64), tf.cast(self._step(), tf.int64)])
        replica, replicas = part()
        count = tf.shape(inputs)[0]
        ones = tf.ones([count * replicas, *TOGETHER[self.kind](inputs.shape[1:])], inputs.dtype)
        mask = tf.nn.experimental.stateless_dropout(ones, self.rate, seed=seed)
        return inputs * mask[replica * count : (replica + 1) * count]


class MovingStatisticsNorm(layers.BatchNormalization):
    """Batch-norm that uses its moving statistics in training too and keeps them, while gamma and beta are trained."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Return what batch-norm computes in inference."""
        return super().call(inputs, training=False, mask=mask)


def training_model(
    graph: Graph,
    *,
    seed: int,
    step: Any,
    freeze_batch_norm: bool = False,
    hooks: Hooks | None = None,
    precision: Precision = SINGLE,
    replicas: int = 1,
) -> TrainingModel:
    """Build the Keras model of a float graph with one output.

    Args:
        graph: to build; its weights are loaded.
        seed: of dropout.
        step: variable that counts training steps.
        freeze_batch_norm: keep batch-norm's statistics, gamma and beta as they are, and use them in training.
        hooks: what strategies put in.
        precision: what the layers compute in; logits are float32 in any case.
        replicas: that share a batch; batch-norm then computes its statistics over all of them.
    """
    build = tf.autograph.experimental.do_not_convert(_built)  # AutoGraph would rewrite each layer's call: half a second
    with computing_in(precision):
        return build(graph, seed, step, freeze_batch_norm, hooks, replicas)


def _built(
    graph: Graph, seed: int, step: Any, freeze_batch_norm: bool, hooks: Hooks | None, replicas: int
) -> TrainingModel:
    hooks = hooks or NoHooks()
    hooks.begin(graph)
    names = layer_names(graph)
    tensors: dict[str, Any] = {}
    left_out = head_of(graph).left_out
    own: dict[str, Any] = {}
    first: Any = None
    for place, node in enumerate(graph.nodes):
        operation = node.operation
        if isinstance(operation, Input):
            tensor = first = layers.Input(operation.shape, name=names[node.name])
        elif node.name in left_out:
            tensor = tensors[node.inputs[0]]
        else:
            if isinstance(operation, Dropout):
                layer = StepDropout(operation.rate, (seed, place), step, names[node.name], type(operation))
            elif isinstance(operation, BatchNorm):
                fixed = freeze_batch_norm or node.name in graph.moving_statistics
                layer = _batch_norm(operation, names[node.name], freeze_batch_norm, fixed, replicas > 1)
            else:
                layer = LAYERS[type(operation)](node, graph, names[node.name])
            sources = [tensors[name] for name in node.inputs]
            tensor = hooks.layer(node, layer)(sources if len(sources) > 1 else sources[0])
            for variable in layer.weights:
                weight = node.weight(variable.name.split(":")[0].rsplit("/", 1)[-1])
                variable.assign(graph.weights[weight])
                own[weight] = variable
            clipped = getattr(operation, "activation", None)
            if clipped is not None:  # a function has no name that could collide
                tensor = tf.nn.relu6(tensor) if clipped == "relu6" else tf.nn.relu(tensor)
        behind = hooks.after(node)
        tensors[node.name] = tensor if behind is None else behind(tensor)
    logits = layers.Activation("linear", dtype=SINGLE, name=LAST_LAYER)(tensors[graph.outputs[0]])
    return TrainingModel(graph, tf_keras.Model(first, logits), own, tensors)


def _conv(node: Node, graph: Graph, name: str) -> Any:
    o = node.operation
    assert isinstance(o, Conv2D)
    shape = graph.weights[node.weight("kernel")].shape
    return layers.Conv2D(
        shape[3], shape[:2], o.strides, o.padding, dilation_rate=o.dilations, groups=o.groups,
        use_bias=node.weight("bias") in graph.weights, name=name,
    )  # fmt: skip


def _conv_transpose(node: Node, graph: Graph, name: str) -> Any:
    o = node.operation
    assert isinstance(o, Conv2DTranspose)
    kernel, bias = graph.weights[node.weight("kernel")].shape, node.weight("bias") in graph.weights
    return TransposedConv2D(o, kernel, bias, name)


def _depthwise(node: Node, graph: Graph, name: str) -> Any:
    o = node.operation
    assert isinstance(o, DepthwiseConv2D)
    shape = graph.weights[node.weight("depthwise_kernel")].shape
    return layers.DepthwiseConv2D(
        shape[:2], o.strides, o.padding, depth_multiplier=shape[3], dilation_rate=o.dilations,
        use_bias=node.weight("bias") in graph.weights, name=name,
    )  # fmt: skip


def _dense(node: Node, graph: Graph, name: str) -> Any:
    units = graph.weights[node.weight("kernel")].shape[1]
    return layers.Dense(units, use_bias=node.weight("bias") in graph.weights, name=name)


def _batch_norm(o: BatchNorm, name: str, frozen: bool, fixed: bool, synchronized: bool) -> Any:
    # on a GPU the fused operation has no deterministic gradient where the moving statistics are used
    fused = False if fixed or synchronized else None
    dtype = SINGLE if synchronized else None  # Keras would add the replicas' sums up in bfloat16
    make = MovingStatisticsNorm if fixed and not frozen else layers.BatchNormalization
    return make(
        momentum=o.momentum, epsilon=o.epsilon, name=name, trainable=not frozen, fused=fused,
        synchronized=synchronized, dtype=dtype,
    )  # fmt: skip


def _plain(make: Callable[..., Any]) -> Callable[[Node, Graph, str], Any]:
    return lambda node, graph, name: make(node.operation, name=name)


def _function(function: Callable[[Any], Callable[[Any], Any]]) -> Callable[[Node, Graph, str], Any]:
    """Return how the layer of a node is made whose operation is a function of single values."""
    return lambda node, graph, name: layers.Activation(function(node.operation), name=name)


def _prelu(x: Any, alpha: Any) -> Any:
    return tf.nn.relu(x) - alpha * tf.nn.relu(-x)


def nearest(pictures: Any, factors: tuple[int, int]) -> Any:
    """Return [n, height, width, channels] with every pixel repeated.

    Unlike the gradient of resizing, this one has a deterministic form on a GPU.
    """
    rows, columns = factors
    height, width, channels = pictures.shape[1:]
    apart = tf.reshape(pictures, [-1, height, 1, width, 1, channels])
    repeated = tf.tile(apart, [1, 1, rows, 1, columns, 1])
    return tf.reshape(repeated, [-1, height * rows, width * columns, channels])


def _up_sampling(o: UpSample, name: str) -> Any:
    if o.bilinear:
        return layers.UpSampling2D(o.factors, interpolation="bilinear", name=name)
    return layers.Activation(lambda pictures: nearest(pictures, o.factors), name=name)


def _padding(o: Pad, name: str) -> Any:
    if not o.lowest:
        return layers.ZeroPadding2D((o.rows, o.columns), name=name)
    return layers.Activation(lambda pictures: padded_with_lowest(pictures, o), name=name)


def _from_constant(x: Any, constant: Any) -> Any:
    return tf.subtract(constant, x)


def _gelu(approximate: bool) -> Callable[[Any], Any]:
    return lambda x: tf.nn.gelu(x, approximate=approximate)


LAYERS: dict[type, Callable[[Node, Graph, str], Any]] = {
    Conv2D: _conv,
    DepthwiseConv2D: _depthwise,
    Conv2DTranspose: _conv_transpose,
    Rescale: _plain(lambda o, name: Rescaled(name=name, dtype=SINGLE)),
    Dense: _dense,
    Relu: _plain(lambda o, name: layers.ReLU(name=name)),
    Relu6: _plain(lambda o, name: layers.ReLU(6.0, name=name)),
    Concat: _plain(lambda o, name: layers.Concatenate(o.axis, name=name)),
    Add: with_operand(lambda o: layers.Add, lambda o: tf.add),
    Multiply: with_operand(lambda o: layers.Multiply, lambda o: tf.multiply),
    Subtract: with_operand(lambda o: layers.Subtract, lambda o: _from_constant if o.constant_first else tf.subtract),
    Maximum: with_operand(lambda o: layers.Maximum, lambda o: tf.maximum),
    Minimum: with_operand(lambda o: layers.Minimum, lambda o: tf.minimum),
    LeakyRelu: _plain(lambda o, name: layers.LeakyReLU(o.alpha, name=name)),
    Sigmoid: _plain(lambda o, name: layers.Activation("sigmoid", name=name)),
    Tanh: _plain(lambda o, name: layers.Activation("tanh", name=name)),
    PRelu: with_operand(lambda o: layers.PReLU, lambda o: _prelu),
    HardSwish: _function(lambda o: lambda x: x * (tf.nn.relu6(x + 3.0) / 6.0)),
    HardSigmoid: _function(lambda o: lambda x: tf.clip_by_value(o.slope * x + o.offset, 0.0, 1.0)),
    ThresholdedRelu: _function(lambda o: lambda x: tf.where(x > o.threshold, x, tf.zeros_like(x))),
    Elu: _plain(lambda o, name: layers.ELU(o.alpha, name=name)),
    Selu: _function(lambda o: tf.nn.selu),
    Exp: _function(lambda o: tf.exp),
    Softplus: _function(lambda o: tf.math.softplus),
    Softsign: _function(lambda o: tf.nn.softsign),
    Mish: _function(lambda o: lambda x: x * tf.tanh(tf.math.softplus(x))),
    Gelu: _plain(lambda o, name: layers.Activation(_gelu(o.approximate), name=name)),
    UpSample: _plain(_up_sampling),
    Resize: _plain(lambda o, name: layers.Activation(lambda pictures: resized(pictures, o), name=name)),
    Crop: _plain(lambda o, name: layers.Activation(lambda pictures: cropped(pictures, o), name=name)),
    Permute: _plain(lambda o, name: layers.Permute([axis + 1 for axis in o.axes], name=name)),
    Pad: _plain(_padding),
    AveragePool: _plain(lambda o, name: layers.AveragePooling2D(o.window, o.strides, o.padding, name=name)),
    MaxPool: _plain(lambda o, name: layers.MaxPooling2D(o.window, o.strides, o.padding, name=name)),
    GlobalAveragePool: _plain(lambda o, name: layers.GlobalAveragePooling2D(keepdims=o.keepdims, name=name)),
    GlobalMaxPool: _plain(lambda o, name: layers.GlobalMaxPooling2D(keepdims=o.keepdims, name=name)),
    Reshape: _plain(lambda o, name: layers.Reshape(o.shape, name=name)),
    Identity: _plain(lambda o, name: layers.Activation("linear", name=name)),
    Softmax: _plain(lambda o, name: layers.Softmax(name=name)),
    **FLOAT_LAYERS,
}
