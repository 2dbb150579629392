"""The architectures by name. TensorFlow is loaded when one is built."""

from collections.abc import Callable
from typing import Any

from qatflow.models.mobilenet_v1 import mobilenet_v1
from qatflow.models.mobilenet_v2 import mobilenet_v2
from qatflow.models.resnet50 import resnet50

Build = Callable[[tuple[int, int, int], int, float, float], Any]
"""Input shape, classes, width multiplier and dropout to a tf_keras model with random weights."""

ARCHITECTURES: dict[str, Build] = {
    "MobileNetV1": mobilenet_v1,
    "MobileNetV2": mobilenet_v2,
    "ResNet50": resnet50,
}
