"""Channels that go together in grouped and transposed convolutions, and in tensors joined or turned otherwise."""

import re

import numpy as np
import pytest

from helpers.numpy_network import execute
from qatflow.base.errors import UserError
from qatflow.graph.channels import channels
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import (
    AveragePool,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Crop,
    GlobalAveragePool,
    Input,
    Operation,
    Permute,
    Relu,
    Reshape,
    Resize,
)
from qatflow.graph.resized import Sizes, resized
from qatflow.graph.shapes import shapes
from qatflow.graph.thin import as_if_thin, thin

POINT = Conv2D((1, 1), "same")


def grouped() -> Graph:
    """12 channels in 3 groups, which make 6, joined by rows; a transposed convolution and a classifier behind."""
    operations: dict[str, tuple[Operation, tuple[str, ...]]] = {
        "wide": (POINT, ("input",)),
        "relu": (Relu(), ("wide",)),
        "grouped": (Conv2D((1, 1), "same", groups=3), ("relu",)),
        "part": (Crop((1, 0), (0, 0)), ("grouped",)),
        "rows": (Concat(-3), ("grouped", "part")),
        "up": (Conv2DTranspose((2, 1), "same"), ("rows",)),
        "small": (Resize(3, 3, bilinear=True), ("up",)),
        "head": (POINT, ("small",)),
    }
    kernels = {"wide": (1, 1, 4, 12), "grouped": (3, 3, 4, 6), "up": (3, 2, 6, 5), "head": (1, 1, 5, 3)}
    random = np.random.default_rng(0)
    weights = {f"{name}/kernel": random.normal(0, 1, shape).astype(np.float32) for name, shape in kernels.items()}
    nodes = [Node("input", Input((6, 5, 4))), *(Node(name, *about) for name, about in operations.items())]
    return Graph(tuple(nodes), ("head",), weights)


def test_a_group_loses_what_every_other_group_loses_and_the_rest_computes_as_before():
    graph = grouped()
    found = channels(graph)
    units = {kernel: units.tolist() for group in found.groups for kernel, units in group.unit_of.items()}
    assert [group.name for group in found.groups] == list(units)
    assert units == {"wide/kernel": [0, 1, 2, 3] * 3, "grouped/kernel": [0, 1] * 3, "up/kernel": [0, 1, 2, 3, 4]}
    keep = {"wide/kernel": [0, 3], "grouped/kernel": [1], "up/kernel": [1, 2, 4]}
    thinner = thin(graph, found, keep)
    assert {name: values.shape for name, values in thinner.weights.items()} == {
        "wide/kernel": (1, 1, 4, 6),
        "grouped/kernel": (3, 3, 2, 3),
        "up/kernel": (3, 2, 3, 3),
        "head/kernel": (1, 1, 3, 3),
    }
    pictures = np.random.default_rng(1).normal(0, 1, (2, 6, 5, 4))
    # by the definition: the removed channels are zero wherever they are read
    zeroed = {name: values.copy() for name, values in graph.weights.items()}
    zeroed["wide/kernel"][..., [1, 2, 5, 6, 9, 10]] = 0
    zeroed["grouped/kernel"][..., [0, 2, 4]] = 0
    zeroed["up/kernel"][..., [0, 3]] = 0
    expected = execute(Graph(graph.nodes, graph.outputs, zeroed), pictures)["head"]
    for other in (thinner, as_if_thin(graph, found, keep)):
        np.testing.assert_allclose(execute(other, pictures)["head"], expected, rtol=0, atol=1e-9)
    assert np.abs(expected).max() > 1


def test_other_numbers_of_channels_are_whole_groups():
    graph = grouped()
    wider = resized(graph, channels(graph), Sizes({"wide/kernel": 7, "grouped/kernel": 3}), seed=0)
    assert wider.weights["wide/kernel"].shape == (1, 1, 4, 21)
    assert wider.weights["grouped/kernel"].shape == (3, 3, 7, 9)
    assert wider.weights["up/kernel"].shape == (3, 2, 9, 5)


def turned(axes: tuple[int, ...]) -> Graph:
    nodes = [
        Node("input", Input((3, 4, 2))), Node("wide", POINT, ("input",)), Node("turned", Permute(axes), ("wide",)),
        Node("mean", GlobalAveragePool(True), ("turned",)), Node("head", POINT, ("mean",)),
    ]  # fmt: skip
    weights = {"wide/kernel": np.ones((1, 1, 2, 5), np.float32)}
    made = (3, 4, 5)[axes[2]]
    return Graph(tuple(nodes), ("head",), {**weights, "head/kernel": np.ones((1, 1, made, 2), np.float32)})


def test_channels_that_become_rows_stay_and_those_that_stay_channels_can_go():
    assert [group.name for group in channels(turned((1, 0, 2))).groups] == ["wide/kernel"]
    found = channels(turned((2, 0, 1)))
    assert not found.groups
    assert found.fixed["wide/kernel"] == "'turned' makes them rows or columns"


def test_channels_that_are_taken_by_their_places_stay():
    """A part of them, and then another shape of each."""
    operations: dict[str, tuple[Operation, tuple[str, ...]]] = {
        "wide": (POINT, ("input",)),
        "first": (Crop((0, 0), (0, 0), (0, 2)), ("wide",)),
        "last": (Crop((0, 1), (1, 0), (1, 0)), ("wide",)),
        "free": (POINT, ("first",)),
        "head": (POINT, ("free",)),
        "other": (POINT, ("last",)),
    }
    kernels = {"wide": (4, 5), "free": (3, 6), "head": (6, 2), "other": (4, 2)}
    weights = {f"{name}/kernel": np.ones((1, 1, *shape), np.float32) for name, shape in kernels.items()}
    nodes = (Node("input", Input((6, 5, 4))), *(Node(name, *about) for name, about in operations.items()))
    graph = Graph(nodes, ("head", "other"), weights)
    assert shapes(graph)["first"] == (6, 5, 3) and shapes(graph)["last"] == (5, 4, 4)
    found = channels(graph)
    assert [group.name for group in found.groups] == ["free/kernel"]
    assert found.fixed["wide/kernel"] == "'first' takes 3 of them, by their places"


@pytest.mark.parametrize(
    ("operation", "kernel", "message"),
    [
        (Conv2D((1, 1), "same", groups=3), (1, 1, 4, 4), "makes 4 channels, which are not 3 equal groups"),
        (Conv2D((1, 1), "same", groups=2), (1, 1, 12, 4), "reads 24 channels, but 'input' has 12"),
        (Crop((5, 1), (0, 0)), None, "which holds no value"),
        (Permute((0, 1)), None, "its axes are (0, 1), which are not those"),
        (Permute((0, 1, 1)), None, "its axes are (0, 1, 1), which are not those"),
        (Reshape((6, 5, 4)), None, "cannot take the shape"),
        (AveragePool((9, 9), (1, 1), "valid"), None, "which holds no value"),
    ],
)
def test_what_does_not_fit_is_refused(operation: Operation, kernel: tuple[int, ...] | None, message: str):
    weights = {} if kernel is None else {"made/kernel": np.ones(kernel, np.float32)}
    graph = Graph((Node("input", Input((6, 5, 12))), Node("made", operation, ("input",))), ("made",), weights)
    with pytest.raises(UserError, match=re.escape(message)):
        shapes(graph)


def test_tensors_that_differ_in_more_than_the_joined_axis_are_refused():
    nodes = (Node("input", Input((6, 5, 4))), Node("part", Crop((1, 0), (1, 0)), ("input",)))
    made = Node("made", Concat(-3), ("input", "part"))
    with pytest.raises(UserError, match=r"but only axis -3 may differ"):
        shapes(Graph((*nodes, made), ("made",), {}))
