"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) as tf_keras.applications builds it."""

from typing import Any


def mobilenet_v1(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return MobileNetV1 as a Keras model, with random weights by TensorFlow's global seed.

    Args:
        shape: height, width and channels of a picture; at least 32 × 32.
        classes: number of classes.
        alpha: width multiplier.
        dropout: rate before the classifier, in training.
    """
    from tf_keras import applications

    return applications.MobileNet(shape, alpha=alpha, dropout=dropout, weights=None, classes=classes)
