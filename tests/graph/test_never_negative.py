"""Tensors that cannot be negative: what the graph says, against what each operation computes."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.numpy_network import compute
from helpers.one_operation import THREE, around, example
from qatflow.graph.graph import Graph, Node
from qatflow.graph.never_negative import never_negative
from qatflow.graph.operations import (
    OPERATIONS,
    Add,
    BatchNorm,
    Conv2D,
    Input,
    Maximum,
    Minimum,
    Multiply,
    Relu,
    Rescale,
    Subtract,
    ThresholdedRelu,
)

TRAINED = ("Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "BatchNorm", "LayerNorm", "GroupNorm", "Input")
"""What these compute depends on weights that training changes, or on the pictures."""


def behind_relu(name: str) -> Graph:
    """The example of an operation, each of whose inputs is behind a ReLU."""
    graph = around(name, example(name))
    made = graph.node("made")
    relus = {source: Node(f"{source}_relu", Relu(), (source,)) for source in made.inputs}
    made = replace(made, inputs=tuple(relus[source].name for source in made.inputs))
    nodes = [made if node.name == "made" else node for node in graph.nodes]
    place = nodes.index(made)
    return replace(graph, nodes=(*nodes[:place], *relus.values(), *nodes[place:]))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("Input", "PRelu")])
def test_what_is_said_of_each_operation_is_what_it_computes(name: str):
    random = np.random.default_rng(3)
    for graph, signed in ((around(name, example(name)), True), (behind_relu(name), False)):
        made = graph.node("made")
        claimed = "made" in never_negative(graph)
        size = (24, 4) if name in THREE else (6, 4, 4)
        values = [random.normal(0, 2, (8, *size)) for _ in made.inputs]
        tried = [values, [-np.abs(value) for value in values]] if signed else [list(map(np.abs, values))]
        results = [compute(graph, made, dict(zip(made.inputs, some, strict=True))) for some in tried]
        low = min(result.min() for result in results)
        if claimed:
            assert low >= 0
        else:
            assert low < 0 or name in TRAINED or name == "Rescale"
        if not signed and name not in (*TRAINED, "Subtract"):
            assert claimed, "it is known where the inputs are known"


def tensor(operation, *inputs: str, **weights: np.ndarray) -> bool:
    """Whether `made`, the operation on a convolution (signed) or on ReLUs of it, is known to have no negative value."""
    nodes = (
        Node("input", Input((4, 4, 2))), Node("signed", Conv2D((1, 1), "same"), ("input",)),
        Node("one", Relu(), ("signed",)), Node("two", Relu(), ("signed",)), Node("made", operation, inputs),
    )  # fmt: skip
    arrays = {"signed/kernel": np.ones((1, 1, 2, 2), np.float32)}
    return "made" in never_negative(Graph(nodes, ("made",), arrays | {f"made/{k}": v for k, v in weights.items()}))


def test_several_inputs_and_constants():
    up, down = np.full(2, 0.5, np.float32), np.array([0.5, -0.5], np.float32)
    assert tensor(Add(), "one", "two") and not tensor(Add(), "one", "signed")
    assert tensor(Add(activation="relu"), "one", "signed"), "a fused activation"
    assert tensor(Multiply(), "signed", "signed"), "a square"
    assert not tensor(Multiply(), "one", "signed")
    assert tensor(Maximum(), "signed", "one") and not tensor(Minimum(), "signed", "one")
    assert tensor(Add(), "one", constant=up) and not tensor(Add(), "one", constant=down)
    assert tensor(Maximum(), "signed", constant=up) and not tensor(Maximum(), "signed", constant=down)
    assert tensor(Minimum(), "one", constant=up) and not tensor(Minimum(), "one", constant=down)
    assert not tensor(Subtract(), "one", "two") and tensor(Subtract(activation="relu6"), "one", "two")
    assert tensor(Rescale(), "one", factor=up, offset=up) and not tensor(Rescale(), "one", factor=up, offset=down)
    assert tensor(ThresholdedRelu(0.5), "signed") and not tensor(ThresholdedRelu(-0.5), "signed")


def test_a_batch_norm_may_become_negative_in_training():
    ones = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), np.ones(2, np.float32))
    assert not tensor(BatchNorm(1e-3, 0.9), "one", **ones)
