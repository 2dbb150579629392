"""A classifier's last layer made anew, for data with other classes than its weights."""

from dataclasses import replace

import numpy as np

from qatflow.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.initial import glorot_uniform
from qatflow.graph.operations import PASS_THROUGH, Conv2D, Dense, Reshape, Softmax
from qatflow.graph.shapes import shapes


def classes_of(graph: Graph) -> int:
    """Return the number of classes of a classifier.

    Raises:
        UserError: its output is not one value a class.
    """
    shape = shapes(graph)[graph.outputs[0]]
    if len(shape) != 1:
        raise UserError(f"the model's output has shape {shape} for a picture, and a classifier's has one value a class")
    return int(shape[0])


def with_classes(graph: Graph, classes: int, seed: int) -> tuple[Graph, str]:
    """Return the graph with a new last layer for so many classes, and that layer's name; all else stays.

    The kernel is drawn as Keras draws it (Glorot and Bengio 2010, uniform), the bias is zero.

    Args:
        graph: float; ends in a dense layer or a 1 × 1 convolution, with what passes values on and a softmax behind it.
        classes: wanted.
        seed: of the new kernel.

    Raises:
        UserError: the graph ends otherwise.
    """
    behind: list[Node] = []
    head = graph.node(graph.outputs[0])
    while isinstance(head.operation, (Softmax, *PASS_THROUGH)):
        behind.append(head)
        head = graph.node(head.inputs[0])
    kernel = graph.weights.get(head.kernel or "")
    if not isinstance(head.operation, Dense | Conv2D) or kernel is None or kernel.shape[:-2] not in ((), (1, 1)):
        raise UserError(
            f"the model ends in {head.name} ({type(head.operation).__name__}): a new last layer can be made in place "
            "of a dense layer or a 1×1 convolution alone"
        )
    shape = (*kernel.shape[:-1], classes)
    weights = dict(graph.weights)
    weights[head.weight("kernel")] = glorot_uniform(shape, np.random.default_rng(seed))
    if head.weight("bias") in weights:
        weights[head.weight("bias")] = np.zeros(classes, np.float32)
    reshaped = {
        node.name: replace(node, operation=Reshape((*node.operation.shape[:-1], classes)))
        for node in behind
        if isinstance(node.operation, Reshape)
    }
    changed = replace(graph, weights=weights)
    return changed.with_nodes(reshaped.get(node.name, node) for node in graph.nodes), head.name
