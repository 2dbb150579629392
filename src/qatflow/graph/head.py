"""How a graph ends: in the probabilities of a softmax or of sigmoids, or in logits. Nothing else is a classifier.

This is the only place that decides it. Reshapes, identities and dropout at the end are looked through, since they
change neither the values nor their order.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePool,
    GlobalMaxPool,
    Identity,
    MaxPool,
    Pad,
    Permute,
    Rescale,
    Reshape,
    Resize,
    Sigmoid,
    Softmax,
    UpSample,
)
from qatflow.graph.shapes import shapes

HeadKind = Literal["softmax", "sigmoid", "logits"]

LOOKED_THROUGH = (Reshape, Identity, Dropout)
COMBINING = (
    BatchNorm, Add, Concat, Pad, Crop, Permute, UpSample, Resize, AveragePool, MaxPool, GlobalAveragePool,
    GlobalMaxPool, Rescale,
)  # fmt: skip
"""Operations without an activation of their own: their values are logits, unless computed from probabilities."""
PROBABILITIES = (Softmax, Sigmoid)
WANTED = (
    'end it in a softmax or in sigmoids with one value per class (Dense(classes, activation="softmax")), or in a layer '
    "without an activation, whose values are then used as logits"
)


@dataclass(frozen=True)
class Head:
    """The end of a graph with one output.

    Attributes:
        kind: `softmax`; `sigmoid`: each value is an independent probability; `logits`: no activation, a softmax is
            meant to follow; None: the graph is not a classifier.
        end: name of the softmax or of the sigmoids; for logits, of the layer that computes them.
        logits: name of the node whose tensor the softmax or the sigmoids read; for logits, `end` itself.
        left_out: nodes that training leaves out, because the loss takes logits: the softmax or the sigmoids, and
            dropout behind them.
        problem: why the graph is not a classifier, and what to do; empty if it is one.
    """

    kind: HeadKind | None
    end: str
    logits: str
    left_out: frozenset[str] = frozenset()
    problem: str = ""

    @property
    def activation(self) -> str | None:
        """Name of the softmax or of the sigmoids; None if there are none."""
        return self.end if self.kind in ("softmax", "sigmoid") else None


def head_of(graph: Graph) -> Head:
    """Return how a graph ends; never raises for a graph that is not a classifier."""
    behind: list[Node] = []
    node = graph.node(graph.outputs[0])
    while isinstance(node.operation, LOOKED_THROUGH):
        behind.append(node)
        node = graph.node(node.inputs[0])
    problem = _problem(graph, node)
    if problem or len(graph.outputs) != 1:
        return Head(
            None, node.name, node.name, problem=problem or "the model has several outputs; a classifier has one"
        )
    if not isinstance(node.operation, PROBABILITIES):
        return Head("logits", node.name, node.name)
    left_out = frozenset({node.name, *(later.name for later in behind if isinstance(later.operation, Dropout))})
    kind: HeadKind = "softmax" if isinstance(node.operation, Softmax) else "sigmoid"
    return Head(kind, node.name, node.inputs[0], left_out)


def classifier_head(graph: Graph) -> tuple[Head, HeadKind]:
    """Return how a classifier ends, and its kind.

    Raises:
        UserError: the graph is not a classifier; names the last layer and what to do.
    """
    head = head_of(graph)
    if head.kind is None:
        raise UserError(head.problem)
    return head, head.kind


def _problem(graph: Graph, end: Node) -> str:
    """Return why the last layer is not the end of a classifier, or an empty text."""
    operation = end.operation
    if isinstance(operation, Softmax):
        shape = shapes(graph)[end.name]
        if prod(shape[:-1]) == 1:
            return ""
        return (
            f"the model ends in {end.name} (Softmax), whose values have the shape {shape} for a picture: the softmax "
            f"is over the last axis only, so each of {prod(shape[:-1])} places has its own probabilities; pool or "
            "flatten before the softmax"
        )
    if isinstance(operation, Sigmoid):
        return ""
    kind = type(operation).__name__
    if isinstance(operation, (Conv2D, DepthwiseConv2D, Conv2DTranspose, Dense, *COMBINING)):
        activation = getattr(operation, "activation", None)
        if activation is not None:
            return (
                f"the model ends in {end.name}, with the activation {activation}, which does not end a classifier: "
                f"{WANTED}"
            )
        source = _probabilities(graph, end)
        if source is None:
            return ""
        return (
            f"the model ends in {end.name} ({kind}), which combines the probabilities of {source.name} "
            f"({type(source.operation).__name__}): the result is neither logits nor a softmax; put the softmax behind "
            "it, or end the model in the logits"
        )
    return f"the model ends in {end.name} ({kind}), which does not end a classifier: {WANTED}"


def _probabilities(graph: Graph, node: Node) -> Node | None:
    """Return a softmax or sigmoids whose values a node combines without own weights; None if there are none."""
    if isinstance(node.operation, PROBABILITIES):
        return node
    if not isinstance(node.operation, (*COMBINING, *LOOKED_THROUGH)):
        return None
    sources = (_probabilities(graph, graph.node(name)) for name in node.inputs)
    return next((source for source in sources if source is not None), None)
