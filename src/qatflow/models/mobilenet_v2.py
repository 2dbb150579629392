"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) as tf_keras.applications builds it."""

from typing import Any


def mobilenet_v2(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return MobileNetV2 as a Keras model, with random weights by TensorFlow's global seed.

    Args:
        shape: height, width and channels of a picture; at least 32 × 32.
        classes: number of classes.
        alpha: width multiplier.
        dropout: without effect: the architecture has none.
    """
    from tf_keras import applications

    return applications.MobileNetV2(shape, alpha=alpha, weights=None, classes=classes)
