"""Keras networks for tests of exactness, with batch-norm statistics that are not trivial."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from qatflow.graph.graph import Graph

SHAPE = (32, 32, 1)


def _mobilenet_v1() -> Any:
    import tf_keras

    return tf_keras.applications.MobileNet(SHAPE, alpha=0.25, weights=None, classes=10)


def _mobilenet_v2() -> Any:
    import tf_keras

    return tf_keras.applications.MobileNetV2(SHAPE, alpha=0.35, weights=None, classes=10)


def _residual() -> Any:
    """A small ResNet: a biased stem, max-pooling, two residual blocks (one with a projection), average pooling."""
    import tf_keras
    from tf_keras import layers

    def convolution(x: Any, channels: int, size: int, stride: int) -> Any:
        x = layers.Conv2D(channels, size, strides=stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    def block(x: Any, channels: int, stride: int) -> Any:
        y = layers.ReLU()(convolution(x, channels, 3, stride))
        y = convolution(y, channels, 3, 1)
        if stride != 1:
            x = convolution(x, channels, 1, stride)
        return layers.Activation("relu")(layers.Add()([x, y]))

    pictures = layers.Input(SHAPE)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(pictures)
    x = block(block(layers.MaxPooling2D(2)(x), 8, 1), 16, 2)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return tf_keras.Model(pictures, layers.Dense(10, activation="softmax")(x))


def tiny_residual() -> Any:
    """One residual block behind a stem: few operations, for what is trained, and so traced, many times."""
    import tf_keras
    from tf_keras import layers

    def normed(x: Any, **options: Any) -> Any:
        return layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False, **options)(x))

    pictures = layers.Input(SHAPE)
    x = layers.ReLU()(normed(pictures, strides=2))
    x = layers.ReLU()(layers.Add()([x, normed(x)]))
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return tf_keras.Model(pictures, layers.Dense(10, activation="softmax")(x))


def _inception() -> Any:
    """Concatenations of branches of its own and of tensors that others read, squeeze and excitation, swish, a leaky
    ReLU, separable convolutions, up-sampling, batch-norm behind a concatenation, global max-pooling."""
    import tf_keras
    from tf_keras import layers

    def normed(x: Any, channels: int, size: int, **options: Any) -> Any:
        return layers.BatchNormalization()(layers.Conv2D(channels, size, padding="same", use_bias=False, **options)(x))

    pictures = layers.Input(SHAPE)
    x = layers.LeakyReLU(0.1)(normed(pictures, 8, 3, strides=2))
    branches = [
        layers.ReLU()(normed(x, 8, 1)),
        layers.ReLU(6.0)(normed(layers.ReLU()(normed(x, 4, 1)), 8, 3)),
        layers.AveragePooling2D(3, strides=1, padding="same")(x),
        x,
        layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(2)(x)),
        layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x)),
    ]
    x = layers.Concatenate()(branches)
    x = layers.Activation("swish")(layers.BatchNormalization()(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(48, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
    x = layers.Multiply()([x, gate])
    x = layers.SeparableConv2D(16, 3, strides=2, padding="same", activation="tanh")(x)
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = layers.BatchNormalization()(x)
    return tf_keras.Model(pictures, layers.Dense(10, activation="softmax")(x))


def _attention() -> Any:
    """Sums and products of tensors of other shapes and ranks, the smaller one first and second."""
    import tf_keras
    from tf_keras import layers

    pictures = layers.Input(SHAPE)
    x = layers.Conv2D(16, 3, strides=4, padding="same", use_bias=False)(pictures)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    squeezed = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Dense(16, activation="sigmoid")(squeezed)])
    context = layers.Conv2D(16, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.ReLU()(layers.Add()([context, x]))
    x = layers.Multiply()([layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x), x])
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(64, 3, padding="same", use_bias=False)(x)))
    x = layers.Add()([layers.Dense(64)(layers.GlobalMaxPooling2D()(x)), x])
    return tf_keras.Model(pictures, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def _geometry() -> Any:
    """Pictures that are augmented, rescaled and resized; grouped and transposed convolutions, a depthwise one with a
    multiplier; pools whose kernels round; crops, tensors joined by rows and by columns, other axes; layers used twice.
    """
    import tf_keras
    from tf_keras import layers

    def normed(layer: Any, x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization()(layer(x)))

    pictures = layers.Input(SHAPE)
    x = layers.Normalization(mean=[0.1], variance=[0.8])(layers.Rescaling(2.0, -0.1)(layers.RandomFlip()(pictures)))
    x = normed(layers.Conv2D(16, 3, 2, "same", use_bias=False), layers.Resizing(26, 24)(x))
    x = normed(layers.Conv2D(12, 3, padding="same", groups=4), x)
    x = layers.Concatenate(1)([x, layers.Cropping2D(((4, 6), 0))(x)])
    x = layers.AveragePooling2D(2)(layers.Concatenate(-2)([x, layers.Cropping2D((0, (2, 6)))(x)]))
    x = normed(layers.Conv2DTranspose(12, 3, 2, "same"), x)
    x = normed(layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=2, use_bias=False), x)
    x = normed(layers.Conv2D(24, 1, groups=3), x)
    small = layers.AveragePooling2D(3, 2, "same")(x)
    x = layers.Add()([layers.UpSampling2D(2, interpolation="bilinear")(small), x])
    twice = layers.Conv2D(24, 3, padding="same", activation="relu6")
    x = layers.Permute((2, 1, 3))(twice(twice(x)))
    x = layers.Flatten()(layers.AveragePooling2D((8, 8))(x))
    return tf_keras.Model(pictures, layers.Dense(10, activation="softmax")(x))


NETWORKS = {
    "attention": _attention,
    "geometry": _geometry,
    "inception": _inception,
    "MobileNetV1": _mobilenet_v1,
    "MobileNetV2": _mobilenet_v2,
    "small ResNet": _residual,
}


def network(name: str) -> Graph:
    """The network as a graph; TensorFlow must have been started."""
    return with_statistics(NETWORKS[name])


def with_statistics(build: Callable[[], Any]) -> Graph:
    """What a function builds, as a graph, with batch-norm statistics that are not trivial."""
    import tf_keras

    from qatflow.models.from_keras import graph_of

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(4)
    graph = graph_of(build())
    random = np.random.default_rng(0)
    values: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
        "gamma": lambda shape: random.normal(1, 0.6, shape),
        "beta": lambda shape: random.normal(0.5, 0.5, shape),
        "moving_mean": lambda shape: random.normal(0, 0.2, shape),
        "moving_variance": lambda shape: random.uniform(0.1, 0.5, shape),
    }
    weights = {
        weight: values[role](old.shape).astype(np.float32) if (role := weight.rsplit("/", 1)[1]) in values else old
        for weight, old in graph.weights.items()
    }
    assert any((array < 0).any() for weight, array in weights.items() if weight.endswith("gamma"))
    return replace(graph, weights=weights)
