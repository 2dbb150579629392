"""ResNet50 (He et al. 2015, arXiv:1512.03385) as tf_keras.applications builds it."""

from typing import Any


def resnet50(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float) -> Any:
    """Return ResNet50 as a Keras model, with random weights by TensorFlow's global seed.

    Args:
        shape: height, width and channels of a picture; at least 32 × 32.
        classes: number of classes.
        alpha: without effect: the architecture has one width.
        dropout: without effect: the architecture has none.
    """
    from tf_keras import applications

    return applications.ResNet50(weights=None, input_shape=shape, classes=classes)
