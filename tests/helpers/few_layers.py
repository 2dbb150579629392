"""Networks of few layers, as functions of a user's own: what is begun often is built and traced each time."""

from typing import Any


def build(input_shape: tuple[int, int, int], classes: int) -> Any:
    """Return one separable convolution behind another convolution, and a classifier."""
    return _separable(input_shape, classes, 8, ((16, 1),))


def narrow_mobilenet(input_shape: tuple[int, int, int], classes: int, dropout: float = 0.0) -> Any:
    """Return a MobileNetV1 of four separable convolutions in place of thirteen, by the names of Keras'."""
    return _separable(input_shape, classes, 16, ((32, 1), (64, 2), (128, 2), (256, 1)), dropout)


def _separable(
    input_shape: tuple[int, int, int], classes: int, first: int, blocks: tuple[tuple[int, int], ...],
    dropout: float = 0.0,
) -> Any:  # fmt: skip
    import tf_keras
    from tf_keras import layers

    def normed(layer: Any, x: Any) -> Any:
        x = layers.BatchNormalization(name=f"{layer.name}_bn")(layer(x))
        return layers.ReLU(6.0, name=f"{layer.name}_relu")(x)

    pictures = layers.Input(input_shape)
    x = normed(layers.Conv2D(first, 3, strides=2, padding="same", use_bias=False, name="conv1"), pictures)
    for place, (channels, stride) in enumerate(blocks, 1):
        name = f"conv_dw_{place}"
        x = normed(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=name), x)
        x = normed(layers.Conv2D(channels, 1, use_bias=False, name=f"conv_pw_{place}"), x)
    x = layers.GlobalAveragePooling2D()(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return tf_keras.Model(pictures, layers.Dense(classes, activation="softmax", name="predictions")(x))
