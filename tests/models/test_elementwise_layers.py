"""Activations, merging layers and operators outside of layers: each layer against Keras' own outputs, in few models."""

import functools
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.operations import OPERATIONS
from qatflow.models.own_file import unknown_layers

pytestmark = pytest.mark.tensorflow

SHAPE = (6, 5, 3)


@pytest.fixture(autouse=True)
def fresh() -> None:
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)


def joined(branches: Callable[[Any, Any], dict[str, Any]]) -> Any:
    """A model of branches that read the same two convolutions of 4 channels, and a classifier of all of them."""
    import tf_keras
    from tf_keras import layers

    pictures = layers.Input(SHAPE)
    x = layers.Conv2D(4, 3, padding="same", name="x")(pictures)
    y = layers.Conv2D(4, 1, name="y")(pictures)
    ends = [layers.Flatten()(branch) for branch in branches(x, y).values()]
    return tf_keras.Model(pictures, layers.Dense(3, activation="softmax")(layers.Concatenate()(ends)))


def kinds(graph: Graph) -> set[str]:
    return {type(node.operation).__name__ for node in graph.nodes}


def taken_in(model: Any) -> Graph:
    """The graph; every layer and the .tflite are compared with Keras', within 1e-4, as make_pretrained does."""
    from qatflow.models.from_keras import translated
    from qatflow.pretrained.compared import check_same

    made = translated(model)
    check_same(model, made, np.random.default_rng(0).normal(0, 1, (2, *SHAPE)).astype(np.float32))
    return made.graph


def activations(x: Any, y: Any) -> dict[str, Any]:
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    relu = tf_keras.activations.relu
    return {
        "prelu": layers.PReLU("uniform")(x),
        "prelu by channel": layers.PReLU(tf_keras.initializers.RandomNormal(), shared_axes=[1, 2])(x),
        "relu to 1": layers.ReLU(1.0)(x),
        "leaky to 1": layers.ReLU(1.0, negative_slope=0.2)(x),
        "relu from 0.3": layers.ReLU(threshold=0.3)(x),
        "all three": layers.ReLU(1.0, negative_slope=0.2, threshold=0.3)(x),
        "slope from": layers.ReLU(negative_slope=0.2, threshold=0.3)(x),
        "thresholded": layers.ThresholdedReLU(0.5)(x),
        "elu 0.3": layers.ELU(0.3)(x),
        "hard_sigmoid": layers.Activation("hard_sigmoid")(x),
        "selu": layers.Activation("selu")(x),
        "exponential": layers.Conv2D(2, 1, activation="exponential", kernel_initializer="ones")(layers.Softmax()(x)),
        "softplus": layers.Activation(tf.math.softplus)(x),
        "softsign": layers.Activation("softsign")(x),
        "mish": layers.Activation("mish")(x),
        "partial": layers.Dense(2, activation=functools.partial(relu, max_value=2.0, threshold=0.5))(x),
    }


def merges(x: Any, y: Any) -> dict[str, Any]:
    from tf_keras import layers

    return {
        "subtract": layers.Subtract()([x, y]),
        "maximum": layers.Maximum()([x, y, layers.ReLU()(x)]),
        "minimum": layers.Minimum()([x, layers.GlobalMaxPooling2D(keepdims=True)(y)]),
        "average": layers.Average()([x, y, layers.ReLU()(x)]),
    }


def operators(x: Any, y: Any) -> dict[str, Any]:
    import tensorflow as tf
    import tf_keras
    from tf_keras import backend

    channels = np.asarray([1.0, -2.0, 0.5, 0.0], np.float32)
    return {
        "x + y": x + y,
        "x + 1": x + 1.0,
        "2 - x": 2.0 - x,
        "x - c": x - channels,
        "c * x": tf.constant(channels) * x,
        "x * 0.5": x * 0.5,
        "x / 3": x / 3.0,
        "x / c": x / (channels + 3),
        "-x": -x,
        "x ** 2": x**2,
        "abs": tf.abs(x),
        "add_n": tf.add_n([x, y, x]),
        "1 x 1 x 1 x 4": x + tf.reshape(tf.constant(channels), (1, 1, 1, 4)),
        "maximum": tf.maximum(x, 0.1),
        "minimum": tf.minimum(x, y),
        "clip 0 6": tf.clip_by_value(x * 8.0, 0.0, 6.0),
        "clip": tf.clip_by_value(x, -0.5, 0.25),
        "clip from 0": backend.clip(x, 0.0, 0.25),
        "relu6": tf.nn.relu6(x * 8.0),
        "relu": tf.nn.relu(x),
        "leaky": tf.nn.leaky_relu(x, alpha=0.3),
        "silu": tf.nn.silu(x),
        "sigmoid": backend.sigmoid(x),
        "softmax": tf.nn.softmax(x),
        "softplus": tf.math.softplus(x),
        "hard_sigmoid": tf_keras.activations.hard_sigmoid(x),
        "mean": tf.reduce_mean(x, [1, 2]),
        "mean -2 -3": tf.reduce_mean(x, axis=(-2, -3), keepdims=True),
        "max": backend.max(x, axis=[1, 2]),
        "reshape": tf.reshape(x, [-1, 30, 4]),
        "flatten": tf.reshape(backend.batch_flatten(x), [-1, 120]),
        "squeeze": tf.squeeze(tf.reduce_mean(x, [1, 2], keepdims=True), [1, 2]),
        "expand": tf.expand_dims(x, 1),
        "concat": tf.concat([x, y], -1),
        "concat rows": tf.concat([x, y], 1),
        "transposed": tf.transpose(x, [0, 2, 1, 3]),
        "resized": tf.image.resize(x, (9, 4)),
        "part": x[:, 1:-1, :4],
        "row": x[:, 2:3],
        "pad": tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]]),
        "max_pool": tf.nn.max_pool2d(x, 2, (2, 1), "SAME"),
        "avg_pool": tf.nn.avg_pool2d(x, (3, 2), 2, "VALID"),
        "bias": tf.nn.bias_add(x, channels),
        "cast": tf.cast(x, tf.float32),
    }


def test_activations_are_keras_own():
    graph = taken_in(joined(activations))
    assert kinds(graph) >= {
        "PRelu", "Relu", "LeakyRelu", "Minimum", "ThresholdedRelu", "Subtract", "Multiply", "Elu", "HardSigmoid",
        "Selu", "Exp", "Softplus", "Softsign", "Mish",
    }  # fmt: skip
    shapes = {graph.weights[node.operand].shape for node in graph.nodes if type(node.operation).__name__ == "PRelu"}
    assert shapes == {(6, 5, 4), (1, 1, 4)}


def test_merging_layers_are_keras_own():
    graph = taken_in(joined(merges))
    assert kinds(graph) >= {"Subtract", "Maximum", "Minimum", "Multiply", "Add"}


def test_operators_outside_of_layers_are_tensorflows_own():
    graph = taken_in(joined(operators))
    assert kinds(graph) <= set(OPERATIONS)
    means = [node for node in graph.nodes if type(node.operation).__name__ == "GlobalAveragePool"]
    assert sorted(node.operation.keepdims for node in means) == [False, True, True]


def unknown(x: Any, y: Any) -> dict[str, tuple[Any, str]]:
    """Calls that are not known, and what the message says of each."""
    import tensorflow as tf

    return {
        "sin": (tf.sin(x), r"tf\.math\.sin: a function that is not known"),
        "mean of channels": (tf.reduce_mean(x, -1), r"tf\.math\.reduce_mean: over the axes -1 of a tensor of rank 4"),
        "mean of pictures": (tf.reduce_mean(x, [0, 1, 2]), r"tf\.math\.reduce_mean: over the axes \[0, 1, 2\]"),
        "1 / x": (1.0 / x, r"tf\.math\.truediv: divides by a tensor"),
        "x / 0": (x / 0.0, r"tf\.math\.truediv: divides by zero"),
        "erf": (tf.math.erf(x), r"tf\.math\.erf \(TFOpLambda: is only known within a GELU"),
        "x ** 3": (x**3, r"tf\.math\.pow: only the square"),
        "other rank": (x + tf.reduce_mean(y, [1, 2]), r"tf\.__operators__\.add: combines tensors of rank 4 and 2"),
        "large constant": (x + np.ones((2, 6, 5, 4), np.float32), r"add: combines a tensor with a constant of the sha"),
        "concat": (tf.concat([x, y], 0), r"tf\.concat: axis=0 is that of the batch"),
        "mirror": (
            tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT"),
            r"tf\.compat\.v1\.pad: pads with other values",
        ),
        "ones": (tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0), r"pad: pads with other values"),
        "mixed pictures": (tf.reshape(x, [-1, 4]), r"tf\.reshape: it mixes the values of several pictures"),
        "integers": (tf.cast(tf.cast(x, tf.int32), tf.float32), r"tf\.cast: casts to int32"),
        "one channel": (x[..., 1], r"SlicingOpLambda: tf\.__operators__\.getitem: a part of a tensor"),
        "some pictures": (x[1:], r"getitem: some of the pictures"),
        "every other": (x[:, ::2], r"getitem: a part of a tensor; known are those of pictures, without steps"),
        "transposed": (tf.transpose(x, [1, 0, 2, 3]), r"transpose: perm=\[1, 0, 2, 3\] moves the axis of the batch"),
        "cubic": (tf.image.resize(x, (8, 8), "bicubic"), r"tf\.image\.resize: known are bilinear and nearest"),
        "softmax of rows": (tf.nn.softmax(x, axis=1), r"tf\.nn\.softmax: activation softmax with axis=1: must be over"),
    }


BY_ITS_SIZES = ("some pictures", "mixed pictures", "erf")
"""What the graph says, and not yet the description in a file."""


def test_each_function_that_is_not_known_is_refused_with_the_reason():
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of

    pictures = layers.Input(SHAPE)
    x, y = layers.Conv2D(4, 3, padding="same")(pictures), layers.Conv2D(4, 1)(pictures)
    for name, (tensor, reason) in unknown(x, y).items():
        with pytest.raises(UserError) as caught:
            graph_of(tf_keras.Model(pictures, tensor))
        assert caught.match(reason), name
        said = "; ".join(unknown_layers(json.loads(tf_keras.Model(pictures, tensor).to_json())))
        assert name in BY_ITS_SIZES or re.search(reason, said), (name, said)


def test_what_reads_a_function_that_is_not_known_is_no_problem_of_its_own():
    import tensorflow as tf

    from qatflow.models.from_keras import graph_of

    with pytest.raises(
        UserError, match=r"cannot be translated: tf\.math\.sin \(TFOpLambda: [^;]*; use [^;)]*\)\. Known"
    ):
        graph_of(joined(lambda x, y: {"sin": 2.0 * tf.sin(x) + y, "y": y}))


def test_a_function_that_has_tensorflows_name_is_not_taken_for_it():
    import tensorflow as tf
    from tf_keras.src.layers.core.tf_op_layer import TFOpLambda

    from qatflow.models.from_keras import graph_of

    @functools.wraps(tf.nn.relu6)
    def relu6(features: Any) -> Any:
        return -features

    @functools.wraps(tf.math.negative)
    def negative(x: Any, name: Any = None) -> Any:
        return tf.abs(x)

    for own, symbol in ((TFOpLambda(relu6), "nn.relu6"), (TFOpLambda(negative), "math.negative")):
        assert own.symbol == symbol
        with pytest.raises(UserError, match=rf"tf\.{symbol} is a function of that name, not"):
            graph_of(joined(lambda x, y, own=own: {"own": own(x), "y": y}))


def hard_swishes(x: Any, y: Any) -> dict[str, Any]:
    """Hard-swish, hard-sigmoid and GELU as models write them, and three that are not."""
    import tensorflow as tf
    from tf_keras import layers

    def six(tensor: Any) -> Any:
        return layers.ReLU(6.0)(tensor + 3.0)

    def gelu(tensor: Any) -> Any:
        return tensor * 0.5 * (1.0 + tf.math.erf(tensor / tf.sqrt(2.0)))

    shared = six(x) * (1.0 / 6.0)
    return {
        "GELU": gelu(y),
        "MobileNetV3": layers.Multiply(name="v3")([x, six(x) * (1.0 / 6.0)]),
        "other order": layers.Multiply(name="turned")([tf.nn.relu6(3.0 + x) / 6.0, x]),
        "product first": tf.multiply(x * six(x), 1.0 / 6.0),
        "gate": layers.Multiply(name="gated")([y, six(x) * (1.0 / 6.0)]),
        "read twice": layers.Multiply(name="twice")([x, shared]),
        "read again": layers.ReLU(name="again")(shared),
        "other number": layers.Multiply(name="fifth")([x, six(x) * (1.0 / 5.0)]),
        "other sum": layers.Multiply(name="from_2")([x, layers.ReLU(6.0)(x + 2.0) * (1.0 / 6.0)]),
    }


def test_hard_swish_and_hard_sigmoid_are_recognised_where_they_are_written_out():
    graph = taken_in(joined(hard_swishes))
    found = {node.name: type(node.operation).__name__ for node in graph.nodes}
    assert list(found.values()).count("HardSwish") == 3
    assert list(found.values()).count("HardSigmoid") == 2
    assert list(found.values()).count("Gelu") == 1
    assert (found["v3"], found["turned"]) == ("HardSwish", "HardSwish")
    assert {found[name] for name in ("gated", "twice", "fifth", "from_2")} == {"Multiply"}


def test_a_file_with_operators_is_the_same_model():
    """What tf-keras writes of a model is read without running code, and checked against the known functions before."""
    from qatflow.models.own_file import model_of, unknown_layers

    model = joined(lambda x, y: {**operators(x, y), **hard_swishes(x, y), **merges(x, y)})
    description = json.loads(model.to_json())
    assert not unknown_layers(description)
    again = model_of(description, "model.keras")
    again.set_weights(model.get_weights())
    pictures = np.random.default_rng(1).normal(0, 1, (2, *SHAPE)).astype(np.float32)
    np.testing.assert_array_equal(again(pictures), model(pictures))
    for layer in description["config"]["layers"]:
        if layer["config"].get("function") == "nn.relu6":
            layer["config"]["function"] = "io.write_file"
    why = "tf.io.write_file: a function that is not known; use a layer of the known kinds"
    found = unknown_layers(description)
    assert len(found) == 2 and all(re.fullmatch(rf"tf\.nn\.relu6\w* \(TFOpLambda: {why}\)", line) for line in found)
    with pytest.raises(UserError, match=r"tf\.io\.write_file: a function that is not known"):
        model_of(description, "model.keras")
