"""What a Keras model becomes: every layer exactly, or refused by name; and the graph is held to the model itself."""

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers import few_layers
from helpers.small_networks import NETWORKS
from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.models.architecture_names import NODE_NAMES, unnumbered

pytestmark = pytest.mark.tensorflow

SHAPE = (12, 12, 2)


@pytest.fixture(autouse=True)
def fresh() -> None:
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(3)


def one_layer(layer: Any, shape: tuple[int, ...] = SHAPE) -> Any:
    """A model of one layer behind a convolution, and a classifier."""
    import tf_keras
    from tf_keras import layers

    pictures = layers.Input(shape)
    x = layer(layers.Conv2D(4, 3, name="first")(pictures))
    return tf_keras.Model(pictures, layers.Dense(3, activation="softmax", name="head")(layers.Flatten()(x)))


def outputs(graph: Graph, pictures: np.ndarray) -> np.ndarray:
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model

    return Model(convert(graph).content).outputs(pictures)


def some(shape: tuple[int, ...] = SHAPE, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 10, (count, *shape)).astype(np.float32)


def taken_in(model: Any) -> Graph:
    """The graph of a model, compared with it as make_pretrained does and by the outputs of its .tflite."""
    from qatflow.models.from_keras import translated
    from qatflow.pretrained.compared import check_same

    made = translated(model)
    pictures = some(model.input_shape[1:])
    check_same(model, made, pictures)
    expected = model.predict(pictures, verbose=0).reshape(len(pictures), -1)
    np.testing.assert_allclose(outputs(made.graph, pictures), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    return made.graph


def relu6(x: np.ndarray) -> np.ndarray:
    return np.clip(x, 0, 6)


def leaky(slope: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x > 0, x, slope * x)


def activations() -> dict[str, tuple[Any, Callable[[np.ndarray], np.ndarray]]]:
    """What a user can write for an activation, and what it computes."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    def softmax(x: np.ndarray) -> np.ndarray:
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def elu(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    return {
        "LeakyReLU(0.1)": (layers.LeakyReLU(0.1), leaky(0.1)),
        "ReLU(6.)": (layers.ReLU(6.0), relu6),
        "ReLU(slope)": (layers.ReLU(negative_slope=0.3), leaky(0.3)),
        "ELU()": (layers.ELU(), elu),
        "Softmax()": (layers.Softmax(), softmax),
        "Activation('tanh')": (layers.Activation("tanh"), np.tanh),
        "tf.nn.relu": (tf.nn.relu, relu),
        "tf.nn.relu6": (tf.nn.relu6, relu6),
        "tf.nn.leaky_relu": (tf.nn.leaky_relu, leaky(0.2)),
        "tf.nn.silu": (tf.nn.silu, lambda x: x * sigmoid(x)),
        "tf.nn.softmax": (tf.nn.softmax, softmax),
        "tf.sigmoid": (tf.sigmoid, sigmoid),
        "swish": ("swish", lambda x: x * sigmoid(x)),
        "activations.relu": (tf_keras.activations.relu, relu),
        "partial relu6": (functools.partial(tf_keras.activations.relu, max_value=6.0), relu6),
        "partial leaky": (functools.partial(tf.nn.leaky_relu, alpha=0.1), leaky(0.1)),
        "partial relu alpha": (functools.partial(tf_keras.activations.relu, alpha=0.1), leaky(0.1)),
        "None": (None, lambda x: x),
    }


ACTIVATIONS = [
    "LeakyReLU(0.1)",
    "ReLU(6.)",
    "ReLU(slope)",
    "ELU()",
    "Softmax()",
    "Activation('tanh')",
    "tf.nn.relu",
    "tf.nn.relu6",
    "tf.nn.leaky_relu",
    "tf.nn.silu",
    "tf.nn.softmax",
    "tf.sigmoid",
    "swish",
    "activations.relu",
    "partial relu6",
    "partial leaky",
    "partial relu alpha",
    "None",
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_inside_a_layer_is_what_it_computes(name: str):
    """The values of the graph's node against NumPy's, from those of the convolution."""
    from tf_keras import layers

    from qatflow.graph.cut import cut

    function, expected = activations()[name]
    graph = taken_in(one_layer(layers.Conv2D(5, 3, activation=function, name="conv")))
    (behind,) = (node.inputs[0] for node in graph.nodes if node.name == "flatten")
    before, after = (outputs(cut(graph, ["image"], [node]), some()) for node in ("conv", behind))
    shape = (3, 8, 8, 5)
    np.testing.assert_allclose(after.reshape(shape), expected(before.reshape(shape)), rtol=1e-4, atol=1e-4)
    assert (behind == "conv") == (name == "None")


def refused_layers() -> dict[str, tuple[Any, str]]:
    """What is not known, and what the message says of it."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    class Conv2D(layers.Conv2D):
        def call(self, inputs: Any) -> Any:
            return -super().call(inputs)

    class ReLU(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.abs(inputs)

    def relu(x: Any) -> Any:
        return tf.abs(x)

    replaced = layers.Conv2D(4, 1, name="replaced")
    replaced.call = lambda inputs: inputs
    return {
        "own class": (Conv2D(4, 1, name="own"), r"own \(Conv2D: .*Conv2D is not tf_keras' own class"),
        "own layer": (ReLU(name="own"), r"own \(ReLU: .*ReLU is not tf_keras' own class"),
        "own function": (
            layers.Conv2D(4, 1, activation=relu, name="c"),
            r"c \(Conv2D: activation .*relu is not one of",
        ),
        "lambda": (layers.Activation(lambda x: -x, name="a"), r"a \(Activation: activation .*<lambda> is not one"),
        "Lambda": (layers.Lambda(lambda x: -x, name="l"), r"l \(Lambda: its code cannot be translated"),
        "log softmax": (
            layers.Dense(4, activation=tf.nn.log_softmax, name="d"),
            r"d \(Dense: activation .*log_softmax\w* is not one of",
        ),
        "partial": (
            layers.Dense(4, activation=functools.partial(tf_keras.activations.relu, threshold=-1.0), name="d"),
            r"d \(Dense: activation relu with threshold=-1\.0: max_value=None, threshold=-1\.0; max_value must be",
        ),
        "partial of own": (
            layers.Dense(4, activation=functools.partial(relu), name="d"),
            r"d \(Dense: activation functools\.partial of .*relu is not one of",
        ),
        "ReLU inside": (
            layers.Dense(4, activation=layers.ReLU(max_value=0.0), name="d"),
            r"d \(Dense: max_value=0\.0, threshold=0\.0; max_value must be above 0",
        ),
        "BatchNormalization inside": (
            layers.Dense(4, activation=layers.BatchNormalization(), name="d"),
            r"d \(Dense: activation .*BatchNormalization is not one of",
        ),
        "replaced": (replaced, r"replaced \(Conv2D: .*what it computes cannot be seen"),
        "output padding": (
            layers.Conv2DTranspose(4, 3, 2, output_padding=1, name="t"),
            r"t \(Conv2DTranspose: output_padding",
        ),
        "interpolation": (layers.Resizing(4, 4, "bicubic", name="b"), r"b \(Resizing: interpolation bicubic"),
        "aspect": (layers.Resizing(4, 4, crop_to_aspect_ratio=True, name="a"), r"a \(Resizing: crop_to_aspect"),
        "crop that resizes": (layers.CenterCrop(12, 4, name="c"), r"c \(CenterCrop: is larger than its input"),
        "random crop": (layers.RandomCrop(90, 1, name="c"), r"c \(RandomCrop: leaves no pixel"),
        "normalised by pixel": (
            layers.Normalization(axis=(1, 2, 3), name="n"),
            r"n \(Normalization: axis=\(1, 2, 3\); it must be the last",
        ),
        "first": (
            layers.ZeroPadding2D(data_format="channels_first", name="f"),
            r"f \(ZeroPadding2D: channels come first",
        ),
        "Flatten first": (layers.Flatten(data_format="channels_first", name="f"), r"f \(Flatten: channels come first"),
        "axis": (
            layers.BatchNormalization(axis=1, name="b"),
            r"b \(BatchNormalization: .*over the last",
        ),
        "softmax axis": (layers.Softmax(axis=1, name="s"), r"s \(Softmax: must be over the last axis"),
        "half": (layers.Conv2D(4, 1, dtype="mixed_float16", name="h"), r"h \(Conv2D: computes in float16"),
        "noise": (layers.Dropout(0.5, noise_shape=(None, 1, 1, 4), name="n"), r"n \(Dropout: noise_shape"),
        "training": (
            lambda x: layers.BatchNormalization(name="t")(x, training=True),
            r"t \(BatchNormalization: is called with training=True",
        ),
        "mask": (
            lambda x: layers.Softmax(name="m")(x, tf.ones((10, 10, 4), tf.bool)),
            r"m \(Softmax: is called with 2 arguments",
        ),
        "five axes": (
            lambda x: layers.Conv2D(2, 1, name="v")(layers.Reshape((10, 2, 5, 4))(x)),
            r"v \(Conv2D: reads tensors of rank 5",
        ),
        "three axes": (
            lambda x: layers.BatchNormalization(name="v")(layers.Reshape((100, 4))(x)),
            r"v \(BatchNormalization: reads tensors of rank 3",
        ),
        "nested": (_own_model, r"inner \(Own: .*Own.*is not tf_keras' own class"),
    }


def _own_model(x: Any) -> Any:
    import tf_keras

    class Own(tf_keras.Model):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return -super().call(inputs)

    pictures = tf_keras.layers.Input(x.shape[1:])
    return Own(pictures, tf_keras.layers.ReLU()(pictures), name="inner")(x)


REFUSED = [
    "own class",
    "own layer",
    "own function",
    "lambda",
    "Lambda",
    "log softmax",
    "partial",
    "partial of own",
    "ReLU inside",
    "BatchNormalization inside",
    "replaced",
    "output padding",
    "interpolation",
    "aspect",
    "crop that resizes",
    "random crop",
    "normalised by pixel",
    "first",
    "Flatten first",
    "axis",
    "softmax axis",
    "half",
    "noise",
    "training",
    "mask",
    "five axes",
    "three axes",
    "nested",
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_exactly_is_refused_by_name(name: str):
    from qatflow.models.from_keras import graph_of

    layer, message = refused_layers()[name]
    with pytest.raises(UserError, match=f"these layers cannot be translated: {message}"):
        graph_of(one_layer(layer))


def test_all_that_is_not_known_is_listed_at_once():
    import tensorflow as tf
    from tf_keras import Sequential, layers

    from qatflow.models.from_keras import graph_of

    model = Sequential([
        layers.Input(SHAPE),
        layers.Conv2D(4, 3, activation=lambda x: x, name="one"),
        layers.LocallyConnected2D(2, 1, name="two"),
        layers.Flatten(),
        layers.Dense(3, activation=tf.math.asinh, name="three"),
    ])  # fmt: skip
    with pytest.raises(
        UserError, match=r"one \(Conv2D: .*; two \(LocallyConnected2D\); three \(Dense: .*asinh is not one"
    ):
        graph_of(model)


def test_a_picture_of_integers_is_refused():
    import tf_keras

    from qatflow.models.from_keras import graph_of

    pictures = tf_keras.layers.Input(SHAPE, dtype="uint8", name="bytes")
    x = tf_keras.layers.Flatten()(tf_keras.layers.Rescaling(1 / 255)(pictures))
    with pytest.raises(UserError, match=r"bytes \(InputLayer: its pictures are uint8; they must be float32"):
        graph_of(tf_keras.Model(pictures, tf_keras.layers.Dense(3)(x)))


def settings() -> dict[str, Any]:
    """Layers with settings that change what they compute, and are known."""
    from tf_keras import Sequential, layers

    return {
        "dilation": layers.Conv2D(3, 3, dilation_rate=2),
        "strides": layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2),
        "separable": layers.SeparableConv2D(3, 3, depth_multiplier=2, dilation_rate=2, activation="relu"),
        "dense on pictures": layers.Dense(5, activation="relu"),
        "rescaling": layers.Rescaling([0.5, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, -1.0]),
        "without centre": layers.BatchNormalization(center=False, momentum=0.0),
        "keepdims": layers.GlobalAveragePooling2D(keepdims=True),
        "up": layers.UpSampling2D((2, 3), interpolation="bilinear"),
        "uneven padding": layers.ZeroPadding2D(((1, 0), (2, 3))),
        "pool": layers.AveragePooling2D(3, strides=2, padding="same"),
        "softmax in the middle": layers.Softmax(),
        "any size inside": Sequential([layers.Conv2D(4, 1, input_shape=(None, None, 4)), layers.GlobalMaxPooling2D()]),
        "flattened inside": _flattening(),
        "named training": lambda x: layers.BatchNormalization()(x, training=False),
        "groups": layers.Conv2D(8, (2, 3), strides=(1, 2), groups=4, activation="relu"),
        "normalised": layers.Normalization(mean=[0.1, 2, 3, -4], variance=[1, 0, 2, 30]),
        "normalised by one": layers.Normalization(axis=None, mean=3, variance=4, invert=True),
        "augmented": Sequential([layers.RandomFlip(), layers.RandomZoom(0.3), layers.RandomCrop(5, 5)]),
        "other ratios": Sequential([layers.RandomCrop(7, 10), layers.RandomCrop(7, 3), layers.RandomCrop(7, 3)]),
        "centre": layers.CenterCrop(7, 6),
        "area": layers.UpSampling2D(3, interpolation="area"),
        "moved pixel": Sequential([layers.AveragePooling2D(10), layers.Permute((3, 2, 1))]),
        "pooled rows": Sequential([layers.Reshape((20, 20)), layers.GlobalMaxPooling1D(keepdims=True)]),
        "pooled matrix": Sequential([layers.Permute((2, 3, 1)), layers.Reshape((40, 10)), layers.GlobalAvgPool1D()]),
        "regularised": layers.Conv2D(3, 1, kernel_regularizer="l2", kernel_constraint="max_norm"),
    }


def _flattening() -> Any:
    import tf_keras
    from tf_keras import layers

    pictures = layers.Input((10, None, 4))
    x = layers.Concatenate(axis=3)([pictures, layers.ReLU()(pictures)])
    return tf_keras.Model(pictures, layers.Reshape((10, 80))(layers.Rescaling(0.5)(x)))


SETTINGS = [
    "dilation",
    "strides",
    "separable",
    "dense on pictures",
    "rescaling",
    "without centre",
    "keepdims",
    "up",
    "uneven padding",
    "pool",
    "softmax in the middle",
    "any size inside",
    "flattened inside",
    "named training",
    "groups",
    "normalised",
    "normalised by one",
    "augmented",
    "other ratios",
    "centre",
    "area",
    "moved pixel",
    "pooled rows",
    "pooled matrix",
    "regularised",
]


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_layers_come_through(name: str):
    taken_in(one_layer(settings()[name]))


def test_what_only_matters_in_training_is_said():
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import translated

    pictures = layers.Input(SHAPE)
    x = layers.Conv2D(4, 1, name="frozen", trainable=False)(pictures)
    x = layers.BatchNormalization(name="norm")(x, training=False)
    x = layers.SpatialDropout2D(0.1, name="drop")(x)
    x = layers.Dense(3, kernel_regularizer="l2", name="held")(layers.Flatten()(x))
    notes = translated(tf_keras.Model(pictures, x)).notes
    assert notes == ("regularizers and constraints are not used here: held; see the training's weight_decay",)


def test_what_the_model_s_own_training_would_leave_is_marked_as_keras_decides_it():
    """A frozen model keeps the weights of all its layers; batch-norm goes by its own flag, and by its call."""
    import tf_keras
    from tf_keras import layers

    from qatflow.graph.operations import Identity, SpatialDropout
    from qatflow.models.from_keras import graph_of

    inner = layers.Input(SHAPE)
    x = layers.BatchNormalization(name="inside")(layers.Conv2D(4, 1, name="conv")(inner))
    base = tf_keras.Model(inner, layers.Dropout(0.2, name="never")(x), name="base")
    base.trainable = False
    base.get_layer("inside").trainable = True  # its weights stay all the same, since the model around it is frozen
    thawed = layers.Input(SHAPE)
    called = tf_keras.Model(thawed, layers.BatchNormalization(name="thawed")(layers.Conv2D(4, 1)(thawed)))
    pictures = layers.Input(SHAPE)
    x = layers.Concatenate()([base(pictures), called(layers.Rescaling(0.5, name="half")(pictures), training=False)])
    x = layers.SpatialDropout2D(0.3, name="drop")(layers.Conv2D(4, 1, name="moves")(x))
    x = layers.BatchNormalization(name="still", trainable=False)(layers.Conv2D(4, 1, name="plain")(x))
    x = layers.Dropout(0.5, name="off")(x, training=False)
    graph = graph_of(tf_keras.Model(pictures, layers.Dense(3, name="head")(layers.Flatten()(x))))
    assert graph.frozen == {"conv", "inside", "half", "still"}
    assert graph.moving_statistics == {"thawed", "still"}
    assert graph.node("drop").operation == SpatialDropout(pytest.approx(0.3))
    assert isinstance(graph.node("off").operation, Identity)


def origins() -> dict[str, Callable[[], Any]]:
    """Every architecture of the tests, and of the program."""
    from qatflow.models.architectures import ARCHITECTURES

    found: dict[str, Callable[[], Any]] = {f"small {name}": make for name, make in NETWORKS.items()}
    for name, make in ARCHITECTURES.items():
        found[name] = functools.partial(
            make, SHAPES.get(name, (32, 32, 3)), 7, 0.35 if name == "MobileNetV2" else 0.25, 0.1
        )
    for few in (few_layers.build, few_layers.narrow_mobilenet):
        found[few.__name__] = functools.partial(few, (16, 16, 3), 5)
    return found


SHAPES = {"MobileNetV1": (32, 48, 3), "MobileNetV2": (49, 10, 1), "ResNet50": (8, 24, 3)}
ORIGINS = [
    *(f"small {name}" for name in NETWORKS), "MobileNetV1", "MobileNetV2", "MobileNetV3Small", "ResNet50",
    "EfficientNetB0", "build", "narrow_mobilenet"
]  # fmt: skip


def test_the_lists_of_names_are_whole():
    """They stand beside their tables, which need TensorFlow: pytest asks for them before it is started."""
    assert (list(activations()), list(refused_layers())) == (ACTIVATIONS, REFUSED)
    assert (list(settings()), list(origins())) == (SETTINGS, ORIGINS)


@pytest.mark.parametrize("name", ORIGINS)
def test_every_architecture_computes_what_keras_does(name: str):
    model = origins()[name]()
    random = np.random.default_rng(1)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.moving_mean.assign(random.normal(0, 0.2, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(0.5, 1.5, layer.moving_variance.shape))
    graph = taken_in(model)
    if name in NODE_NAMES:  # what a configuration is checked with
        assert sorted({unnumbered(node.name) for node in graph.nodes}) == NODE_NAMES[name].split()


@pytest.mark.parametrize("inside", [False, True])
def test_a_layer_that_computes_something_else_is_named_with_how_far(inside: bool):
    """Its class is Keras' own, so what it was given to compute with shows by its values alone."""
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import translated
    from qatflow.pretrained.compared import check_same

    conv = layers.Conv2D(4, 1, name="twice")
    own = conv.convolution_op
    conv.convolution_op = lambda inputs, kernel: 2 * own(inputs, kernel)
    layer: Any = conv
    if inside:
        pictures = layers.Input((10, 10, 4))
        layer = tf_keras.Model(pictures, layers.ReLU(name="after")(conv(pictures)))
    model = one_layer(layer)
    made = translated(model)
    largest = np.abs(np.asarray(tf_keras.Model(model.input, model.layers[1].output)(some()))).max()
    with pytest.raises(UserError, match=r"layer twice \(Conv2D\) computes other values .* differ by up to \d") as told:
        check_same(model, made, some())
    differs = float(re.search(r"differ by up to ([\d.e+-]+),", str(told.value))[1])
    assert 0 < differs < 10 * largest


def test_a_translation_that_leaves_an_activation_out_is_found():
    """What made_pretrained would have said of the fault that this check is for."""
    from dataclasses import replace

    from tf_keras import layers

    from qatflow.graph.edit import absorb
    from qatflow.models.from_keras import translated
    from qatflow.pretrained.compared import check_same

    for activation in (layers.ReLU(6.0), "relu", layers.LeakyReLU(0.9)):
        model = one_layer(layers.Conv2D(4, 1, activation=activation, name="conv"))
        made = translated(model)
        (behind,) = (node for node in made.graph.nodes if node.inputs == ("conv",))
        graph = absorb(made.graph, behind, made.graph.node("conv"))
        parts = tuple(
            replace(part, outputs=[replace(m, node="conv") if m.node == behind.name else m for m in part.outputs])
            for part in made.parts
        )
        small = 1e-3 * some()  # far from 6: a random picture has larger values
        with pytest.raises(UserError, match=r"layer conv \(Conv2D\) computes other values"):
            check_same(model, replace(made, graph=graph, parts=parts), small)


def test_a_model_that_insists_on_its_batch_is_compared():
    import tf_keras
    from tf_keras import layers

    pictures = layers.Input(SHAPE, batch_size=3)
    taken_in(tf_keras.Model(pictures, layers.Dense(3)(layers.Flatten()(pictures))))


def test_weights_that_are_no_numbers_are_named_with_their_count():
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of
    from qatflow.pretrained.weights_sane import check_weights

    model = one_layer(layers.Dense(4, name="middle"))
    kernel, bias = model.get_layer("middle").get_weights()
    kernel[0, :2], bias[3] = np.nan, np.inf
    model.get_layer("middle").set_weights([kernel, bias])
    message = r"NaN or infinite: middle/kernel \(2 of 16 values\), middle/bias \(1 of 4 values\)\. Take"
    with pytest.raises(UserError, match=message):
        check_weights(graph_of(model))


def test_weights_that_no_picture_gets_through_are_warned_of_by_layer():
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of
    from qatflow.pretrained.weights_sane import check_weights

    model = one_layer(layers.BatchNormalization(name="norm"))
    assert check_weights(graph_of(model)) == ()
    model.get_layer("norm").moving_variance.assign([1, 0, 1, 1])
    model.get_layer("first").kernel.assign(np.zeros((3, 3, 2, 4)))
    model.get_layer("head").bias.assign([0, -2e6, 0])
    assert check_weights(graph_of(model)) == (
        "warning: kernels that are all zero, which give the same result for every picture: first/kernel",
        "warning: weights beyond ±1e+06: head/bias",
        "warning: a variance of 0 or less in batch-norm: norm/moving_variance",
    )


def test_a_layer_that_makes_no_finite_numbers_is_named():
    from tf_keras import layers

    from qatflow.models.from_keras import translated
    from qatflow.pretrained.compared import check_same

    model = one_layer(layers.BatchNormalization(name="norm"))
    model.get_layer("norm").moving_variance.assign([1, -1, 1, 1])
    with pytest.raises(UserError, match=r"layer norm \(BatchNormalization\) computes values .* not finite \(100 of"):
        check_same(model, translated(model), some())


def nested_names() -> Any:
    """The same names inside and outside of a model."""
    import tf_keras
    from tf_keras import layers

    pictures, inner = layers.Input(SHAPE), layers.Input(SHAPE)
    base = layers.Conv2D(3, 3, activation="relu", name="conv")(layers.Conv2D(3, 3, name="first")(inner))
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(tf_keras.Model(inner, base, name="base")(pictures))
    return tf_keras.Model(pictures, layers.Dense(3, name="head")(layers.Flatten()(x)))


def derived_names() -> Any:
    """Names that are those of nodes of other layers, of what training puts around them, and PaddleSlim's."""
    import tf_keras
    from tf_keras import layers

    pictures = layers.Input(SHAPE)
    x = layers.Conv2D(3, 3, activation="relu", name="conv1")(pictures)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.ReLU(name="conv1_tensor")(layers.ReLU(name="conv1/relu")(x))
    x = layers.Conv2D(3, 3, name="quant_conv1")(x)
    x = layers.Conv2D(3, 1, name="image")(x)
    x = layers.Conv2D(3, 1, name="conv1_bn_identity")(x)
    x = layers.ReLU(name="logits_in_float32")(x)
    return tf_keras.Model(pictures, layers.Dense(3, name="head")(layers.Flatten()(x)))


NAMES = {
    "nested": (nested_names, "input_1 first base/conv base/conv/relu conv conv/relu flatten head"),
    "derived": (
        derived_names,
        "input_1 conv1 conv1/relu_2 conv1_bn/identity conv1_bn conv1_relu conv1/relu conv1_tensor quant_conv1 image_2 "
        "conv1_bn_identity logits_in_float32 flatten head",
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_do_not_collide(name: str):
    """Nor do those of the layers that are trained for int8, with what tfmot puts around them."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model

    make, expected = NAMES[name]
    graph = taken_in(make())
    assert [node.name for node in graph.nodes] == expected.split()
    quantisers = Quantisers(graph, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))
    made = training_model(graph, seed=1, step=0, hooks=quantisers)
    names = [layer.name for layer in made.keras.layers]
    assert len(names) == len(set(names))
    made.keras(some(), training=True)
    reached, _ = quantisers.quantised_graph(made)
    fake_quant_model(reached).keras(some(), training=False)


def test_a_model_whose_layers_cannot_be_seen_is_one_message(tmp_path):
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of
    from qatflow.models.own_file import check_description
    from qatflow.models.saved.weights_file import description

    class Own(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__(name="mine")
            self.head = layers.Dense(3, activation="softmax")

        def call(self, inputs: Any) -> Any:
            return self.head(layers.Flatten()(inputs))

    model = Own()
    model(np.zeros((1, *SHAPE), np.float32))
    model.save(tmp_path / "own.keras")
    with pytest.raises(UserError, match=r"own\.keras: the model \(.*Own\) is a subclass of Model.*save `tf_keras\.Mod"):
        check_description(description(tmp_path / "own.keras"), str(tmp_path / "own.keras"))
    with pytest.raises(UserError, match=r"model mine \(.*Own\) is a subclass of Model.*model\.call\(pictures\)"):
        graph_of(model)
    pictures = layers.Input(SHAPE)  # what the message says works
    taken_in(tf_keras.Model(pictures, model.call(pictures)))
    with pytest.raises(UserError, match="has no input yet: start it with"):
        graph_of(tf_keras.Sequential([layers.Flatten(), layers.Dense(3)]))
