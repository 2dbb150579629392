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


def _input(shape: tuple[int, int, int]) -> Any:
    """Return an input of any shape; as `input_shape`, tf_keras.applications refuses sides below 32 for all networks."""
    from tf_keras import Input

    return Input(shape)


ARCHITECTURES: dict[str, Build] = {
    "MobileNetV1": mobilenet_v1,
    "MobileNetV2": mobilenet_v2,
    "ResNet50": resnet50,
}

LEAST_SIDES = {"MobileNetV1": 32}
"""The shortest side of a picture, in pixels, for networks that leave nothing of a shorter one; others take any."""
