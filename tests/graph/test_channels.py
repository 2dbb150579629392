"""Which channels go together: against what the networks' papers and drawings say."""

from dataclasses import dataclass

import numpy as np
import pytest

from helpers.branching import branching
from helpers.graphs import small_graph
from qatflow.graph import operations
from qatflow.graph.channels import channels
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import KINDS
from qatflow.graph.operations import Add, Concat, Conv2D, Dense, Identity, Input, Reshape, Softmax


def groups(graph: Graph) -> dict[str, dict[str, list[int]]]:
    return {g.name: {k: u.tolist() for k, u in g.unit_of.items()} for g in channels(graph).groups}


def test_a_sum_ties_a_layer_to_what_the_depthwise_layer_passes_on():
    found = channels(small_graph())
    assert groups(small_graph()) == {"conv/kernel": {"conv/kernel": [0, 1, 2, 3], "left/kernel": [0, 1, 2, 3]}}
    assert found.fixed == {"logits/kernel": "the softmax 'probabilities' is over all of them"}
    for name in ("conv", "dw_relu", "left_bn", "sum_relu", "pool"):
        assert found.of_tensor[name].tolist() == [0, 1, 2, 3]
    assert found.of_tensor["input"].tolist() == [-1, -1]


def test_multipliers_concatenations_gates_and_flattening():
    assert groups(branching()) == {
        "first/kernel": {"first/kernel": [0, 1, 2, 3]},
        # each channel of `second` makes two of `wide`, to which `beside` and `gate` are tied
        "second/kernel": {
            "second/kernel": [0, 1, 2],
            "beside/kernel": [0, 0, 1, 1, 2, 2],
            "gate/kernel": [0, 0, 1, 1, 2, 2],
        },
        "hidden/kernel": {"hidden/kernel": [0, 1, 2, 3, 4]},
    }
    found = channels(branching()).of_tensor
    assert found["joined"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found["flat"].tolist() == [4, 4, 5, 5, 6, 6] * 36
    assert found["hidden"].tolist() == [7, 8, 9, 10, 11]


def test_what_is_added_to_the_pictures_stays():
    graph = Graph(
        (
            Node("input", Input((4, 4, 2))),
            Node("conv", Conv2D((1, 1), "same"), ("input",)),
            Node("sum", Add(), ("input", "conv")),
            Node("last", Conv2D((1, 1), "same"), ("sum",)),
        ),
        ("last",),
        {"conv/kernel": np.ones((3, 3, 2, 2), np.float32), "last/kernel": np.ones((1, 1, 2, 5), np.float32)},
    )
    found = channels(graph)
    assert found.groups == ()
    assert found.fixed["conv/kernel"] == "they are those of the pictures"
    assert found.fixed["last/kernel"] == "'last' is an output of the graph"


def joined_and_summed(second: Node, kernels: dict[str, tuple[int, ...]]) -> Graph:
    """`a` (4 channels) and `second` joined, the sum of that and `c`, and a layer behind."""
    conv = Conv2D((1, 1), "same")
    nodes = (
        Node("input", Input((4, 4, 2))),
        Node("a", conv, ("input",)),
        second,
        Node("joined", Concat(), ("a", second.name)),
        Node("c", conv, ("input",)),
        Node("sum", Add(), ("joined", "c")),
        Node("last", conv, ("sum",)),
    )
    kernels = {"a": (1, 1, 2, 4), **kernels}
    weights = {f"{name}/kernel": np.ones(shape, np.float32) for name, shape in kernels.items()}
    return Graph(nodes, ("last",), weights)


def test_layers_of_which_each_is_tied_to_a_part_of_a_third_are_one_group():
    second = Node("b", Conv2D((1, 1), "same"), ("input",))
    graph = joined_and_summed(second, {"b": (1, 1, 2, 3), "c": (1, 1, 2, 7), "last": (1, 1, 7, 5)})
    assert groups(graph) == {
        "a/kernel": {"a/kernel": [0, 1, 2, 3], "b/kernel": [4, 5, 6], "c/kernel": [0, 1, 2, 3, 4, 5, 6]}
    }


def test_a_layer_of_which_a_part_must_stay_stays_as_a_whole():
    second = Node("picture", Identity(), ("input",))
    found = channels(joined_and_summed(second, {"c": (1, 1, 2, 6), "last": (1, 1, 6, 5)}))
    assert found.groups == ()
    assert found.fixed["a/kernel"] == found.fixed["c/kernel"] == "they are those of the pictures"


def dense_then(*behind: Node) -> Graph:
    nodes = (Node("input", Input((5,))), Node("hidden", Dense(), ("input",)), *behind)
    last = Node("last", Dense(), (behind[-1].name,))
    weights = {"hidden/kernel": np.ones((5, 6), np.float32), "last/kernel": np.ones((6, 2), np.float32)}
    return Graph((*nodes, last), ("last",), weights)


def test_a_softmax_in_the_middle_keeps_its_channels():
    found = channels(dense_then(Node("softmax", Softmax(), ("hidden",))))
    assert found.groups == () and "softmax" in found.fixed["hidden/kernel"]


def test_a_reshape_that_mixes_channels_and_places_keeps_them_and_one_that_does_not_lets_them_go():
    mixed = dense_then(Node("mixed", Reshape((2, 3)), ("hidden",)), Node("flat", Reshape((6,)), ("mixed",)))
    assert "'mixed' lays channels and places into one another" in channels(mixed).fixed["hidden/kernel"]
    plain = dense_then(Node("picture", Reshape((1, 1, 6)), ("hidden",)), Node("flat", Reshape((6,)), ("picture",)))
    assert groups(plain) == {"hidden/kernel": {"hidden/kernel": [0, 1, 2, 3, 4, 5]}}


@dataclass(frozen=True)
class Shuffle:
    """An operation that this version does not know."""


def test_what_an_unknown_operation_does_is_not_guessed():
    graph = dense_then(Node("shuffled", Shuffle(), ("hidden",)))
    with pytest.raises(TypeError, match="Shuffle has no description: add it to KINDS"):
        channels(graph)


def test_every_operation_is_described():
    assert set(operations.OPERATIONS.values()) == set(KINDS)


# by the papers: MobileNetV1 has a stem and 13 pointwise layers; MobileNetV2 a stem, 16 expansions, 7 widths that
# residuals tie, and a last layer; ResNet50 a stem, two inner layers in each of 16 blocks, and 4 tied widths
BY_THE_PAPER = {"MobileNetV1": 14, "MobileNetV2": 1 + 16 + 7 + 1, "ResNet50": 1 + 2 * 16 + 4}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", BY_THE_PAPER)
def test_the_groups_of_the_architectures(name: str):
    import tf_keras

    from qatflow.models.architectures import ARCHITECTURES
    from qatflow.models.from_keras import graph_of

    tf_keras.backend.clear_session()
    graph = graph_of(ARCHITECTURES[name]((64, 64, 3), 10, 1.0, 0.001))
    found = channels(graph)
    assert len(found.groups) == BY_THE_PAPER[name]
    assert len(found.fixed) == 1  # the classifier
    makers = [node.kernel for node in graph.nodes if node.kernel and not node.is_depthwise]
    assert sorted([*found.fixed, *(kernel for group in found.groups for kernel in group.unit_of)]) == sorted(makers)
