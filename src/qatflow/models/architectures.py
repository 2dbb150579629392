"""The built-in architectures by name, as tf_keras.applications builds them. TensorFlow is loaded when one is built.

All have random weights by TensorFlow's global seed, and take pictures of any size that `LEAST_SIDES` allows.
"""

from collections.abc import Callable
from typing import Any

Build = Callable[[tuple[int, int, int], int, float, float], Any]
"""Input shape, classes, width multiplier and dropout to a tf_keras model with random weights."""


def mobilenet_v1(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) as a Keras model.

    Args:
        shape: height, width and channels of a picture.
        classes: number of classes.
        alpha: width multiplier.
        dropout: rate before the classifier, in training.
    """
    from tf_keras import applications

    return applications.MobileNet(
        input_tensor=_input(shape), alpha=alpha, dropout=dropout, weights=None, classes=classes
    )


def mobilenet_v2(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) as a Keras model.

    Args:
        shape: height, width and channels of a picture.
        classes: number of classes.
        alpha: width multiplier.
        dropout: has no effect: the architecture has none.
    """
    from tf_keras import applications

    return applications.MobileNetV2(input_tensor=_input(shape), alpha=alpha, weights=None, classes=classes)


def resnet50(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return ResNet50 (He et al. 2015, arXiv:1512.03385) as a Keras model.

    Args:
        shape: height, width and channels of a picture.
        classes: number of classes.
        alpha: has no effect: the architecture has one width.
        dropout: has no effect: the architecture has none.
    """
    from tf_keras import applications

    return applications.ResNet50(weights=None, input_tensor=_input(shape), classes=classes)


def mobilenet_v3_small(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return MobileNetV3-Small (Howard et al. 2019, arXiv:1905.02244) as a Keras model.

    Args:
        shape: height, width and channels of a picture.
        classes: number of classes.
        alpha: width multiplier.
        dropout: rate before the classifier, in training.
    """
    from tf_keras import applications

    return applications.MobileNetV3Small(
        input_tensor=_input(shape), alpha=alpha, dropout_rate=dropout, weights=None, classes=classes,
        include_preprocessing=False,
    )  # fmt: skip


def efficientnet_b0(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) as a Keras model, without its own preprocessing.

    Args:
        shape: height, width and channels of a picture.
        classes: number of classes.
        alpha: has no effect: the architecture has one width.
        dropout: rate before the classifier, in training. The rate of stochastic depth is the published 0.2.
    """
    import tf_keras
    from tf_keras.src.applications.efficientnet import EfficientNet

    whole = EfficientNet(
        1.0, 1.0, 224, dropout_rate=dropout, input_tensor=_input(shape), weights=None, classes=classes,
        model_name="efficientnetb0",
    )  # fmt: skip
    # pictures come normalised by data.preprocessing
    return tf_keras.Model(whole.get_layer("stem_conv_pad").input, whole.output, name=whole.name)


def _input(shape: tuple[int, int, int]) -> Any:
    """Return an input of any shape; as `input_shape`, tf_keras.applications refuses sides below 32 for all networks."""
    from tf_keras import Input

    return Input(shape)


ARCHITECTURES: dict[str, Build] = {
    "MobileNetV1": mobilenet_v1,
    "MobileNetV2": mobilenet_v2,
    "MobileNetV3Small": mobilenet_v3_small,
    "ResNet50": resnet50,
    "EfficientNetB0": efficientnet_b0,
}

LEAST_SIDES = {"MobileNetV1": 32, "MobileNetV3Small": 32}
"""The shortest side of a picture, in pixels, for networks that leave nothing of a shorter one; others take any."""
