"""Gradients of grouped and transposed convolutions and of resizing, held to TensorFlow's own; constants stay."""

from typing import Any

import numpy as np
import pytest

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Conv2DTranspose, Input, Operation, Rescale, Reshape, Resize

pytestmark = pytest.mark.tensorflow

SHAPE = (6, 5, 4)


def pictures() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, (3, *SHAPE)).astype(np.float32)


def chain(*operations: Operation, flat: int) -> Graph:
    """Operations behind one another, flattened to `flat` values; the last layer is what a loss would read."""
    random = np.random.default_rng(0)
    nodes = [Node("input", Input(SHAPE))]
    weights: dict[str, np.ndarray] = {}
    for place, operation in enumerate((*operations, Reshape((flat,)))):
        nodes.append(Node(f"layer{place}", operation, (nodes[-1].name,)))
        shapes: dict[str, tuple[int, ...]] = {}
        match operation:
            case Conv2D():
                shapes = {"kernel": (3, 3, 4 // operation.groups, 6), "bias": (6,)}
            case Conv2DTranspose():
                shapes = {"kernel": (3, 2, 4, 5), "bias": (5,)}
            case Rescale():
                shapes = {"factor": (4,), "offset": (4,)}
        weights |= {f"layer{place}/{role}": random.normal(0, 1, s).astype(np.float32) for role, s in shapes.items()}
    return Graph(tuple(nodes), (nodes[-1].name,), weights)


def gradients(compute: Any, variables: list[Any]) -> list[np.ndarray]:
    """Of the sum of squares, which makes every output's gradient another."""
    import tensorflow as tf

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(compute() ** 2)
        return tape.gradient(loss, variables)

    return [value.numpy() for value in step()]


def test_a_grouped_convolution_has_the_gradients_of_convolutions_of_the_parts():
    import tensorflow as tf

    from qatflow.training.keras_model import training_model

    graph = chain(Conv2D((2, 1), "same", groups=2), flat=3 * 5 * 6)
    model = training_model(graph, seed=0, step=0)
    variables = [model.variables["layer0/kernel"], model.variables["layer0/bias"]]
    found = gradients(lambda: model.keras(pictures(), training=True), variables)
    kernel, bias = (tf.Variable(graph.weights[f"layer0/{role}"]) for role in ("kernel", "bias"))

    def parts() -> Any:
        pairs = zip(tf.split(pictures(), 2, axis=3), tf.split(kernel, 2, axis=3), strict=True)
        return tf.concat([tf.nn.conv2d(x, part, (2, 1), "SAME") for x, part in pairs], axis=3) + bias

    for actual, expected in zip(found, gradients(parts, [kernel, bias]), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    again = gradients(lambda: model.keras(pictures(), training=True), variables)
    assert all((one == other).all() for one, other in zip(found, again, strict=True))


@pytest.mark.parametrize(("padding", "flat"), [("same", 12 * 5 * 5), ("valid", 13 * 6 * 5)])
def test_a_transposed_convolution_has_the_gradients_of_keras(padding: Any, flat: int):
    from tf_keras import layers

    from qatflow.training.keras_model import training_model

    graph = chain(Conv2DTranspose((2, 1), padding), flat=flat)
    model = training_model(graph, seed=0, step=0)
    keras = layers.Conv2DTranspose(5, (3, 2), (2, 1), padding)
    keras.build((None, *SHAPE))
    keras.set_weights([graph.weights["layer0/kernel"].transpose(0, 1, 3, 2), graph.weights["layer0/bias"]])
    variables = [model.variables["layer0/kernel"], model.variables["layer0/bias"]]
    kernel, bias = gradients(lambda: model.keras(pictures(), training=True), variables)
    wanted_kernel, wanted_bias = gradients(lambda: keras(pictures()), [keras.kernel, keras.bias])
    np.testing.assert_allclose(kernel, wanted_kernel.transpose(0, 1, 3, 2), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(bias, wanted_bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bilinear", "method"), [(True, "bilinear"), (False, "nearest")])
@pytest.mark.parametrize("size", [(9, 3), (4, 11), (12, 10)])
def test_resizing_has_the_values_and_the_gradients_of_tensorflow(bilinear: bool, method: str, size: tuple[int, int]):
    import tensorflow as tf

    from qatflow.training.own_layers import resized

    source = tf.Variable(pictures())
    operation = Resize(*size, bilinear)
    np.testing.assert_allclose(resized(source, operation), tf.image.resize(source, size, method), rtol=0, atol=1e-5)
    (found,) = gradients(lambda: resized(source, operation), [source])
    (expected,) = gradients(lambda: tf.image.resize(source, size, method), [source])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_what_pictures_are_rescaled_by_is_not_trained():
    from qatflow.training.keras_model import training_model

    graph = chain(Rescale(), Conv2D((1, 1), "same"), flat=6 * 5 * 6)
    model = training_model(graph, seed=0, step=0)
    names = {variable.ref(): name for name, variable in model.variables.items()}
    assert {names[v.ref()] for v in model.keras.trainable_weights} == {"layer1/kernel", "layer1/bias"}
    assert {names[v.ref()] for v in model.keras.non_trainable_weights} == {"layer0/factor", "layer0/offset"}
