"""Replaces a classifier's last layer, for data with other classes than its weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.families import PASS_THROUGH
from qatflow.graph.graph import Graph, Node
from qatflow.graph.head import LOOKED_THROUGH, head_of
from qatflow.graph.kinds import with_channels
from qatflow.graph.operations import Conv2D, Dense, Softmax
from qatflow.graph.resized import glorot_uniform
from qatflow.graph.shapes import shapes


def classes_of(graph: Graph) -> int:
    """Return the number of classes of a classifier.

    Raises:
        UserError: its output is not one value per class.
    """
    shape = shapes(graph)[graph.outputs[0]]
    if len(shape) != 1:
        raise UserError(no_vector(len(shape)))
    return int(shape[0])


def no_vector(axes: int) -> str:
    """Return that a model's output, which has so many axes for a picture, is none of a classifier."""
    return (
        f"the model's output has {axes} axes for a picture, and a classifier has one value per class: end the model in "
        "a pool over height and width and a dense layer, or in Flatten"
    )


def other_classes(classes: int, data: str, wanted: int) -> str:
    """Return what to do about weights for other classes than those of the data of a name."""
    return (
        f"the weights have {classes} classes, data/{data} has {wanted}: a new last layer has to be trained: set "
        "pretrained.fine_tune to true, with pretrained.train.epochs and a low learning_rate"
    )


def with_classes(graph: Graph, classes: int, seed: int) -> tuple[Graph, str]:
    """Return the graph with a new last layer for that many classes, and that layer's name; everything else stays.

    The kernel is drawn as Keras draws it (Glorot and Bengio 2010, uniform), and the bias is zero. Before sigmoids the
    bias is −log(classes − 1), so that each class starts with the probability 1 / classes (Lin et al. 2017,
    arXiv:1708.02002, §4.1) instead of one half. A single sigmoid becomes a softmax.

    Args:
        graph: float; ends in a dense layer or a 1 × 1 convolution, followed only by operations that pass values on and
            a softmax or sigmoids.
        classes: the new number, at least 2.
        seed: of the new kernel.

    Raises:
        UserError: the graph ends in another way.
    """
    last = head_of(graph)
    single = last.kind == "sigmoid" and classes_of(graph) == 1
    behind: list[Node] = []
    head = graph.node(graph.outputs[0])
    while head.name == last.activation or isinstance(head.operation, PASS_THROUGH):
        behind.append(head)
        head = graph.node(head.inputs[0])
    kernel = graph.weights.get(head.kernel or "")
    plain = isinstance(head.operation, Dense | Conv2D) and head.groups == 1
    if not plain or kernel is None or kernel.shape[:-2] not in ((), (1, 1)):
        raise UserError(
            f"the model ends in {head.name} ({type(head.operation).__name__}): a new last layer can only replace a "
            "dense layer or a 1×1 convolution"
        )
    shape = (*kernel.shape[:-1], classes)
    weights = dict(graph.weights)
    weights[head.weight("kernel")] = glorot_uniform(shape, np.random.default_rng(seed))
    if head.weight("bias") in weights:
        prior = -np.log(classes - 1) if last.kind == "sigmoid" and not single else 0.0
        weights[head.weight("bias")] = np.full(classes, prior, np.float32)
    changed = replace(graph, weights=weights, frozen=graph.frozen - {head.name})
    softmax = last.activation if single else None
    return _wider(changed, behind, classes, softmax), head.name


def in_pairs(graph: Graph) -> Graph:
    """Return a classifier with one output as an equivalent one with two.

    If z is the single logit, the two logits are −z/2 and z/2, whose softmax is 1 − σ(z) and σ(z). So the single output
    becomes the probability of the second class, as in Keras. A sigmoid becomes a softmax; a model that ends in the
    logit ends in the two logits.

    Args:
        graph: float; ends in one sigmoid or one logit.
    """
    last = head_of(graph)
    behind: list[Node] = []
    node = graph.node(graph.outputs[0])
    while node.name == last.activation or isinstance(node.operation, LOOKED_THROUGH):
        behind.append(node)
        node = graph.node(node.inputs[0])
    halves = np.asarray([-0.5, 0.5], np.float32)
    weights, nodes = dict(graph.weights), list(graph.nodes)
    if isinstance(node.operation, Dense | Conv2D) and graph.consumers(node.name) == behind[-1:]:
        for role in ("kernel", "bias"):
            if node.weight(role) in weights:
                weights[node.weight(role)] = weights[node.weight(role)] * halves
        return _wider(replace(graph, weights=weights), behind, 2, last.activation)
    pair = Node(f"{node.name}/pair", Dense(), (node.name,))
    weights[pair.weight("kernel")] = halves[None]
    place = nodes.index(node) + 1
    nodes[place:place] = [pair]
    first = behind[-1].name if behind else None
    nodes = [replace(node, inputs=(pair.name,)) if node.name == first else node for node in nodes]
    outputs = graph.outputs if behind else (pair.name,)
    aliases = {alias: outputs[0] if name == graph.outputs[0] else name for alias, name in graph.aliases.items()}
    changed = replace(graph, nodes=tuple(nodes), outputs=outputs, weights=weights, aliases=aliases)
    return _wider(changed, [changed.node(later.name) for later in behind], 2, last.activation)


def _wider(graph: Graph, behind: Sequence[Node], classes: int, softmax: str | None) -> Graph:
    """Return the graph with that many channels in its last reshapes; the node `softmax`, if any, becomes a softmax."""
    changed = {node.name: replace(node, operation=with_channels(node.operation, classes)) for node in behind}
    if softmax is not None:
        changed[softmax] = replace(graph.node(softmax), operation=Softmax())
    return graph.with_nodes(changed.get(node.name, node) for node in graph.nodes)
