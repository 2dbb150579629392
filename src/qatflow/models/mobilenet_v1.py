"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) as tf_keras.applications builds it."""

from dataclasses import replace
from typing import Any

from qatflow.graph.graph import Graph
from qatflow.graph.operations import BatchNorm
from qatflow.models.from_keras import graph_of


def mobilenet_v1(
    shape: tuple[int, int, int], classes: int, alpha: float, dropout: float, momentum: float, weights: Any = None
) -> Graph:
    """Return MobileNetV1 as a graph.

    Args:
        shape: height, width and channels of a picture; at least 32 × 32.
        classes: number of classes.
        alpha: width multiplier.
        dropout: rate before the classifier, in training.
        momentum: decay of batch-norm's moving statistics.
        weights: None for random ones (by TensorFlow's global seed), "imagenet", or the path of an .h5 file.
    """
    import tf_keras

    tf_keras.backend.clear_session()  # so that layer names do not depend on what was built before
    model = tf_keras.applications.MobileNet(
        input_shape=shape, alpha=alpha, dropout=dropout, weights=weights, classes=classes
    )
    graph = graph_of(model)
    nodes = [
        replace(n, operation=replace(n.operation, momentum=momentum)) if isinstance(n.operation, BatchNorm) else n
        for n in graph.nodes
    ]
    return graph.with_nodes(nodes)
