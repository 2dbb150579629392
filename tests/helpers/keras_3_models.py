"""Saves models with Keras 3, and what they compute. A program of its own: the tests' process has tf-keras.

    python keras_3_models.py FOLDER

It writes `<name>.keras`, `.h5` or `.weights.h5`, `pictures.npy`, and `<name>.npy` with what Keras 3 predicts for them.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (8, 8, 4)
Tensor = Any


def _of(application: str, kind: str) -> Any:
    """Return a class that is the library's own, but not in keras.layers."""
    return getattr(importlib.import_module(f"keras.src.applications.{application}"), kind)


def _adapted(layer: Any) -> Any:
    """Return a layer that has seen some pictures."""
    layer.adapt(np.random.default_rng(2).normal(3, 2, (16, *SHAPE)).astype(np.float32))
    return layer


LAYERS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "Conv2D": lambda k, x: k.Conv2D(3, (3, 2), strides=2, padding="same", activation="relu")(x),
    "DepthwiseConv2D": lambda k, x: k.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6")(x),
    "SeparableConv2D": lambda k, x: k.SeparableConv2D(3, 3, dilation_rate=2, activation="silu")(x),
    "Dense": lambda k, x: k.Dense(3, activation="tanh")(k.GlobalAveragePooling2D()(x)),
    "BatchNormalization": lambda k, x: k.BatchNormalization(epsilon=0.01, momentum=0.8)(k.Conv2D(3, 1)(x)),
    "Rescaling": lambda k, x: k.Rescaling([1.0, 2.0, 0.5, 1.0], offset=0.5)(x),
    "ReLU": lambda k, x: k.ReLU(negative_slope=0.2)(x),
    "LeakyReLU": lambda k, x: k.LeakyReLU(negative_slope=0.15)(x),
    "ELU": lambda k, x: k.ELU()(x),
    "Softmax": lambda k, x: k.Softmax()(x),
    "Activation": lambda k, x: k.Activation("sigmoid")(x),
    "Add": lambda k, x: k.Add()([x, k.ReLU()(x), k.Conv2D(4, 1)(x)]),
    "Subtract": lambda k, x: k.Subtract()([x, k.ReLU()(x)]),
    "Maximum": lambda k, x: k.Maximum()([x, k.Conv2D(4, 1)(x)]),
    "Minimum": lambda k, x: k.Minimum()([x, k.Conv2D(4, 1)(x)]),
    "Average": lambda k, x: k.Average()([x, k.ReLU()(x), k.Conv2D(4, 1)(x)]),
    "PReLU": lambda k, x: k.PReLU(alpha_initializer="glorot_uniform", shared_axes=[1, 2])(x),
    "Multiply": lambda k, x: k.Multiply()([x, k.ReLU(max_value=6.0)(x)]),
    "Concatenate": lambda k, x: k.Concatenate()([x, k.MaxPooling2D(3, strides=1, padding="same")(x)]),
    "ZeroPadding2D": lambda k, x: k.Conv2D(3, 3)(k.ZeroPadding2D(((1, 0), (2, 1)))(x)),
    "UpSampling2D": lambda k, x: k.UpSampling2D((2, 3), interpolation="bilinear")(x),
    "AveragePooling2D": lambda k, x: k.AveragePooling2D(3, strides=2, padding="same")(x),
    "MaxPooling2D": lambda k, x: k.MaxPooling2D((2, 3), padding="same")(x),
    "GlobalAveragePooling2D": lambda k, x: k.GlobalAveragePooling2D(keepdims=True)(x),
    "GlobalMaxPooling2D": lambda k, x: k.GlobalMaxPooling2D()(x),
    "Reshape": lambda k, x: k.Reshape((4, 16, 4))(x),
    "Flatten": lambda k, x: k.Flatten()(x),
    "Dropout": lambda k, x: k.Dropout(0.5, seed=3)(x),
    "LayerNormalization": lambda k, x: k.LayerNormalization(epsilon=0.01)(x),
    "GroupNormalization": lambda k, x: k.GroupNormalization(2)(x),
    "UnitNormalization": lambda k, x: k.UnitNormalization()(x),
    "EinsumDense": lambda k, x: k.EinsumDense("abcd,de->abce", (8, 8, 3), bias_axes="e", activation="relu")(x),
    "Attention": lambda k, x: k.Attention()([y := k.Reshape((64, 4))(x), k.ReLU()(y)]),
    "MultiHeadAttention": lambda k, x: k.MultiHeadAttention(2, 3)(y := k.Reshape((64, 4))(x), k.ReLU()(y)),
    "Conv2DTranspose": lambda k, x: k.Conv2DTranspose(3, 3, strides=2, padding="same")(x),
    "Cropping2D": lambda k, x: k.Cropping2D(((1, 0), (2, 1)))(x),
    "Permute": lambda k, x: k.Permute((2, 1, 3))(k.MaxPooling2D((2, 1))(x)),
    "GlobalAveragePooling1D": lambda k, x: k.GlobalAveragePooling1D()(k.Reshape((64, 4))(x)),
    "GlobalMaxPooling1D": lambda k, x: k.GlobalMaxPooling1D(keepdims=True)(k.Reshape((64, 4))(x)),
    "Resizing": lambda k, x: k.Resizing(12, 10)(x),
    "RandomCrop": lambda k, x: k.RandomCrop(5, 6)(k.Resizing(5, 6)(x)),
    "CenterCrop": lambda k, x: k.CenterCrop(5, 4)(x),
    "Normalization": lambda k, x: _adapted(k.Normalization())(x),
    "RandomFlip": lambda k, x: k.RandomFlip()(x),
    "RandomTranslation": lambda k, x: k.RandomTranslation(0.1, 0.2)(x),
    "RandomRotation": lambda k, x: k.RandomRotation(0.1)(x),
    "RandomZoom": lambda k, x: k.RandomZoom(0.1)(x),
    "RandomContrast": lambda k, x: k.RandomContrast(0.1)(x),
    "GaussianNoise": lambda k, x: k.GaussianNoise(0.1)(x),
    "GaussianDropout": lambda k, x: k.GaussianDropout(0.1)(x),
    "AlphaDropout": lambda k, x: k.AlphaDropout(0.1)(x),
    "SpatialDropout2D": lambda k, x: k.SpatialDropout2D(0.5)(x),
}
"""A use of each kind of layer, on a picture of SHAPE: all kinds in one model, whose outputs all count."""

NOT_IN_H5: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "RandomBrightness": lambda k, x: k.RandomBrightness(0.1)(x),
    "LayerScale": lambda k, x: _of("convnext", "LayerScale")(0.5, 4)(x),
    "StochasticDepth": lambda k, x: _of("convnext", "StochasticDepth")(0.1)(x),
    "CustomScaleLayer": lambda k, x: _of("inception_resnet_v2", "CustomScaleLayer")(0.3)([x, k.ReLU()(x)]),
}
"""The same for layers that Keras 3 cannot save in a .h5 file, and for the library's classes that are not in
keras.layers, of which a .h5 file does not say whose they are."""

ACTIVATIONS = (
    "linear", "relu", "relu6", "leaky_relu", "softmax", "sigmoid", "tanh", "elu", "gelu", "silu", "swish",
    "exponential", "mish", "selu", "softplus", "softsign", "hard_sigmoid", "hard_silu", "hard_swish",
)  # fmt: skip


def everything() -> Any:
    """A model in which every kind of layer and every activation has a branch."""
    from keras import Model, layers

    pictures = layers.Input(SHAPE, name="pictures")
    branches = [use(layers, pictures) for use in LAYERS.values()]
    branches += [layers.Conv2D(3, 1, activation=name)(pictures) for name in ACTIVATIONS]
    branches.append(layers.Conv2D(3, 1, activation=layers.LeakyReLU(negative_slope=0.3))(pictures))
    branches.append(layers.Activation(layers.ReLU(max_value=6.0))(pictures))
    return Model(pictures, _classes(branches))


def not_in_h5() -> Any:
    """A model in which every such layer has a branch."""
    from keras import Model, layers

    pictures = layers.Input(SHAPE, name="pictures")
    return Model(pictures, _classes([use(layers, pictures) for use in NOT_IN_H5.values()]))


def nested() -> Any:
    """Models in models: functional, sequential, without an input layer; layers of one shape side by side; frozen."""
    from keras import Model, Sequential, layers

    inner = layers.Input((None, None, 4))
    left, right = layers.Conv2D(4, 3, name="same")(inner), layers.Conv2D(4, 3, name="shape")(inner)
    base = Model(inner, layers.BatchNormalization(name="norm")(layers.Add()([right, layers.ReLU()(left)])), name="base")
    base.trainable = False
    empty = Sequential([layers.Input(SHAPE), layers.Rescaling(0.5)], name="empty")
    top = Sequential([layers.Conv2D(4, 1, name="same"), layers.GlobalMaxPooling2D()], name="top")
    pictures = layers.Input(SHAPE, name="pictures")
    x = base(empty(pictures), training=False)
    y = layers.BatchNormalization(name="norm")(layers.Conv2D(4, 1, name="same")(pictures), training=False)
    frozen = layers.Conv2D(4, 1, name="still", trainable=False)(layers.SpatialDropout2D(0.3, name="drop")(y))
    z = layers.Conv2D(4, 1, name="z")(frozen)
    w = layers.Conv2D(4, 1, name="a")(frozen)
    return Model(pictures, _classes([top(x), z, layers.ReLU()(w)]))


def twice() -> Any:
    """A layer and a model that are called twice; the model's second call is the output."""
    from keras import Model, layers

    inner, pictures = layers.Input((4,)), layers.Input(SHAPE)
    shared, top = layers.Conv2D(4, 1), Model(inner, layers.Dense(4)(inner))
    x = layers.GlobalAveragePooling2D()(shared(layers.ReLU()(shared(pictures))))
    return Model(pictures, top(layers.LeakyReLU()(top(x))))


def operations() -> Any:
    """Operators and functions outside of layers, each with a branch."""
    from keras import Model, layers, ops

    pictures = layers.Input(SHAPE, name="pictures")
    x, y = layers.Conv2D(4, 1)(pictures), layers.Conv2D(4, 1, activation="sigmoid")(pictures)
    four = np.asarray([0.5, -1.0, 2.0, 0.25], np.float32)
    branches = [
        x + y, x * y, x - y, ops.maximum(x, y), ops.minimum(x, y), x * 0.5, 2.0 + x, x - 1.5, x / 4.0, -x,
        ops.divide(x, 3.0), ops.relu(x), ops.relu6(x), ops.sigmoid(x), ops.tanh(x), ops.silu(x),
        ops.concatenate([x, y], axis=-1), ops.mean(x, axis=(1, 2)), ops.max(x, axis=[1, 2], keepdims=True),
        ops.amax(x, (1, 2)), 3.0 - x, ops.subtract(four, x), x + four, ops.subtract(x, four), abs(x), x**2,
        ops.square(y), ops.clip(x, -1, 0.5), ops.clip(x, 0.0, 6.0), ops.reshape(x, (-1, 4, 16, 4)),
        ops.squeeze(ops.expand_dims(x, 1), axis=1), ops.transpose(x, (0, 2, 1, 3)), ops.swapaxes(x, 1, -2),
        ops.moveaxis(x, [1, 2], [2, 1]), ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
        ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=0.0), x[:, 1:-1, 2:], x[:, :, 1:6, :], x[..., :3],
        ops.image.resize(x, (5, 6)), ops.image.resize(x, (16, 16), interpolation="nearest"), ops.max_pool(x, 2),
        ops.average_pool(x, (3, 2), 1, "same"), ops.cast(x, "float32"), ops.leaky_relu(x, 0.1), ops.elu(x),
        ops.selu(x), ops.gelu(x), ops.gelu(x, approximate=False), ops.softmax(x), ops.exp(y), ops.softplus(x),
        ops.softsign(x), ops.hard_sigmoid(x), ops.hard_silu(x), ops.power(y, 2), ops.true_divide(x, four),
        0.5 * x * (1.0 + ops.erf(x / np.sqrt(2.0))),
    ]  # fmt: skip
    return Model(pictures, _classes(branches))


def sequential() -> Any:
    """A sequential model that learned its input when it was called."""
    from keras import Sequential, layers

    model = Sequential([layers.Conv2D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(3)])
    model.build((None, *SHAPE))
    return model


def _classes(branches: list[Tensor]) -> Tensor:
    from keras import layers

    flat = [branch if len(branch.shape) == 2 else layers.Flatten()(branch) for branch in branches]
    # each branch weighs the same, however many values it has
    return layers.Add()([layers.Dense(3)(branch) for branch in flat])


def sides(models: Any, names: tuple[str, str] = ("left", "right")) -> Any:
    """Two layers of one shape side by side, in this order, made with Keras 3 or tf-keras."""
    pictures = models.layers.Input(SHAPE)
    pool = {"left": models.layers.GlobalAveragePooling2D(), "right": models.layers.GlobalMaxPooling2D()}
    pooled = [pool[name](models.layers.Conv2D(3, 3, name=name)(pictures)) for name in names]
    return models.Model(pictures, models.layers.Add()(pooled))


MODELS: dict[str, Callable[[], Any]] = {
    "everything": everything, "not_in_h5": not_in_h5, "nested": nested, "sequential": sequential,
    "twice": twice, "operations": operations,
}  # fmt: skip


APPLICATIONS = ("MobileNetV3Small", "MobileNetV3Large")


def refused() -> Iterator[tuple[str, Any, str]]:
    """Yield name, model and ending of what must be refused."""
    import keras
    from keras import Model, Sequential, layers, ops

    class Conv2D(layers.Conv2D):
        def call(self, inputs: Tensor) -> Tensor:
            return -super().call(inputs)

    @keras.saving.register_keras_serializable(package="own")
    class Dense(layers.Dense):
        def call(self, inputs: Tensor, training: Any = None) -> Tensor:
            return -super().call(inputs)

    @keras.saving.register_keras_serializable(package="own", name="relu_of_mine")
    def relu_of_mine(x: Tensor) -> Tensor:
        return ops.abs(x)

    class Own(Model):
        def __init__(self, **more: Any):
            super().__init__(**more)
            self.dense = layers.Dense(3)

        def call(self, inputs: Tensor) -> Tensor:
            return self.dense(inputs)

    def of(*middle: Any) -> Any:
        return Sequential([layers.Input(SHAPE), *middle, layers.Flatten(), layers.Dense(3, name="head")])

    for form in ("keras", "h5"):
        yield "registered", of(Dense(3, name="mine")), form
        yield "function", of(layers.Activation(relu_of_mine, name="mine")), form
        yield "lambda", of(layers.Lambda(lambda x: -x, name="mine")), form
        yield "lambda_activation", of(layers.Activation(lambda x: -x, name="mine")), form
    yield "crop", of(layers.RandomCrop(4, 4, name="mine")), "keras"
    x = layers.Input((4, 4, 3))
    for name, call in {
        "divided": 1 / x,
        "over_channels": ops.mean(x, axis=-1),
        "of_the_batch": ops.transpose(x, (1, 0, 2, 3)),
        "reflected": ops.pad(x, 1, mode="reflect"),
        "cubic": ops.image.resize(x, (5, 5), interpolation="bicubic"),
        "integers": ops.cast(x, "int32"),
        "cubed": x**3,
        "every_other": x[:, ::2],
    }.items():
        yield name, Model(x, call), "keras"
    yield "own_class", of(Conv2D(3, 1, name="mine")), "keras"
    own = Own(name="mine")
    own(np.zeros((1, 4), "f"))
    yield "subclass", own, "keras"
    two = [layers.Input((4,)), layers.Input((4,))]
    yield "two_inputs", Model(two, layers.Add()(two)), "keras"
    yield "mixed", of(layers.Conv2D(3, 1, dtype="mixed_float16", name="mine")), "keras"
    quantised = of(layers.Dense(3, name="mine"))
    quantised.quantize("int8")
    yield "quantised", quantised, "keras"
    adapted = of(layers.Dense(3, name="mine"))
    adapted.layers[0].enable_lora(2)
    yield "lora", adapted, "keras"
    yield "training", Model(p := layers.Input(SHAPE), layers.BatchNormalization(name="mine")(p, training=True)), "keras"
    masked = layers.Softmax(name="mine")(p := layers.Input(SHAPE), mask=layers.Input(SHAPE, dtype="bool"))
    del masked
    yield "operation", Model(p := layers.Input((4,)), ops.cumsum(p, axis=-1)), "keras"
    yield "operation", Model(p, ops.cumsum(p, axis=-1)), "h5"


def _of_applications(keras: Any, random: np.random.Generator, folder: Path) -> None:
    """Write MobileNetV3 as Keras 3's own applications have it."""
    pictures = random.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.save(folder / "pictures_of_32.npy", pictures)
    for name in APPLICATIONS:
        model = getattr(keras.applications, name)((32, 32, 3), alpha=0.75, weights=None, classes=7)
        for variable in model.variables:
            if variable.path.endswith(("moving_variance", "gamma")):
                variable.assign(random.uniform(0.7, 1.4, variable.shape))
            elif variable.path.endswith(("moving_mean", "beta")):
                variable.assign(random.normal(0, 0.3, variable.shape))
        np.save(folder / f"{name}.npy", np.asarray(model(pictures, training=False)))
        model.save(folder / f"{name}.keras")


def main(folder: Path) -> None:
    """Write everything."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    pictures = random.normal(0, 2, (4, *SHAPE)).astype(np.float32)
    np.save(folder / "pictures.npy", pictures)
    for name, build in MODELS.items():
        model = build()
        for variable in model.variables:
            if variable.path.rpartition("/")[2] in ("kernel", "bias", "gamma", "beta", "moving_mean"):
                variable.assign(random.normal(0.1, 0.5, variable.shape))
            elif variable.path.endswith("moving_variance"):
                variable.assign(random.uniform(0.5, 1.5, variable.shape))
        np.save(folder / f"{name}.npy", np.asarray(model(pictures, training=False)))
        model.save(folder / f"{name}.keras")
        if name != "not_in_h5":
            model.save(folder / f"{name}.h5")
    _of_applications(keras, random, folder)
    for name, model, form in refused():
        model.save(folder / f"{name}.{form}")
    pair = sides(keras)
    pair.save_weights(folder / "sides.weights.h5")
    np.save(folder / "sides.npy", np.asarray(pair(pictures, training=False)))
    network = keras.applications.MobileNet((32, 32, 1), alpha=0.25, weights=None, classes=10)
    network.save_weights(folder / "mobilenet.weights.h5")
    np.save(folder / "mobilenet.npy", np.asarray(network(np.ones((1, 32, 32, 1), "f"), training=False)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
