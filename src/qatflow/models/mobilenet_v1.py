"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) as tf_keras.applications builds it."""

from dataclasses import replace

from qatflow.graph.graph import Graph
from qatflow.graph.operations import BatchNorm
from qatflow.models.from_keras import graph_of


def mobilenet_v1(shape: tuple[int, int, int], classes: int, alpha: float, dropout: float, momentum: float) -> Graph:
    """Return MobileNetV1 as a graph, with random weights by TensorFlow's global seed.

    Args:
        shape: height, width and channels of a picture; at least 32 × 32.
        classes: number of classes.
        alpha: width multiplier.
        dropout: rate before the classifier, in training.
        momentum: decay of batch-norm's moving statistics.
    """
    import tf_keras

    tf_keras.backend.clear_session()  # so that layer names do not depend on what was built before
    model = tf_keras.applications.MobileNet(
        input_shape=shape, alpha=alpha, dropout=dropout, weights=None, classes=classes
    )
    graph = graph_of(model)
    nodes = [
        replace(n, operation=replace(n.operation, momentum=momentum)) if isinstance(n.operation, BatchNorm) else n
        for n in graph.nodes
    ]
    return graph.with_nodes(nodes)
