"""Which channels go first: criteria against their definitions, groups chosen by name, errors that say what to do."""

import numpy as np
import pytest

from helpers.branching import branching
from helpers.chain import chain
from helpers.graphs import small_graph, with_weight
from qatflow.base.errors import UserError
from qatflow.graph.counts import total
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Concat, Conv2D, Dense, GlobalAveragePool, Input, Multiply, Softmax
from qatflow.pruning.candidates import candidates
from qatflow.pruning.importance import CRITERIA

FILTERS = np.random.default_rng(0).normal(0, 1, (7, 12))


def test_the_l1_norm_is_the_sum_of_magnitudes():
    np.testing.assert_allclose(CRITERIA["l1_norm"](FILTERS), [sum(abs(w) for w in row) for row in FILTERS])


def test_the_geometric_median_is_the_sum_of_distances():
    expected = [sum(np.linalg.norm(row - other) for other in FILTERS) for row in FILTERS]
    np.testing.assert_allclose(CRITERIA["geometric_median"](FILTERS), expected, rtol=1e-6)
    # on a line: 0, 1 and 10 are 11, 10 and 19 from the others together, so the one in the middle can be spared
    np.testing.assert_allclose(CRITERIA["geometric_median"](np.array([[0.0], [1.0], [10.0]])), [11, 10, 19])


def test_equal_filters_are_at_no_distance():
    found = CRITERIA["geometric_median"](np.tile(FILTERS[:1] * 1e3, (5, 1)))
    assert (found >= 0).all() and found.max() < 1e-6 * np.linalg.norm(FILTERS[0] * 1e3)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_layer_of_its_own_goes_by_its_criterion(criterion: str):
    graph = chain()
    found = candidates(graph, ".*", {"*": criterion})
    kernel = graph.weights["b/kernel"].astype(np.float64)
    filters = [kernel[..., channel].ravel() for channel in range(kernel.shape[-1])]
    if criterion == "l1_norm":
        scores = [np.abs(one).sum() for one in filters]
    else:
        scores = [sum(np.linalg.norm(one - other) for other in filters) for one in filters]
    assert found.order["b/kernel"].tolist() == np.argsort(scores).tolist()
    keep = found.keep({"b/kernel": 0.25})["b/kernel"]
    assert keep == sorted(np.argsort(scores)[10:].tolist())
    assert found.thin({"b/kernel": 0.25}).weights["b/kernel"].shape == (3, 3, 24, 30)


def test_tied_layers_each_have_a_say_whatever_their_size():
    graph = small_graph()  # conv and left are tied
    conv, left = (np.abs(graph.weights[f"{name}/kernel"]).sum(axis=(0, 1, 2)) for name in ("conv", "left"))
    expected = np.argsort(conv / conv.mean() + left / left.mean()).tolist()
    for factor in (1.0, 100.0):
        scaled = with_weight(graph, "left/kernel", graph.weights["left/kernel"] * np.float32(factor))
        assert candidates(scaled, ".*", {"*": "l1_norm"}).order["conv/kernel"].tolist() == expected
    assert expected != np.argsort(conv).tolist() or expected != np.argsort(left).tolist()


def test_a_unit_of_several_channels_counts_them_all():
    graph = branching()
    second, beside, gate = (
        np.abs(graph.weights[f"{n}/kernel"]).sum(axis=(0, 1, 2)) for n in ("second", "beside", "gate")
    )
    pairs = [values.reshape(3, 2).sum(axis=1) / values.mean() for values in (beside, gate)]
    expected = np.argsort(second / second.mean() + sum(pairs)).tolist()
    assert candidates(graph, ".*", {"*": "l1_norm"}).order["second/kernel"].tolist() == expected


def test_a_kernel_of_zeros_is_no_error():
    graph = with_weight(chain(), "b/kernel", np.zeros((3, 3, 24, 40), np.float32))
    assert sorted(candidates(graph, ".*", {"*": "l1_norm"}).order["b/kernel"].tolist()) == list(range(40))


def test_groups_are_chosen_by_the_beginning_of_any_of_their_kernels_names():
    names = [group.name for group in candidates(branching(), ".*", {}).groups]
    assert names == ["first/kernel", "second/kernel", "hidden/kernel"]
    assert [group.name for group in candidates(branching(), "gate|hid", {}).groups] == [
        "second/kernel",
        "hidden/kernel",
    ]
    with pytest.raises(UserError, match="no kernel's name matches 'ate'"):
        candidates(branching(), "ate", {})


def test_a_criterion_can_be_given_by_kernel():
    graph = chain()
    mixed = candidates(graph, ".*", {"*": "l1_norm", "b/kernel": "geometric_median"})
    one, other = (candidates(graph, ".*", {"*": criterion}) for criterion in CRITERIA)
    assert mixed.order["a/kernel"].tolist() == one.order["a/kernel"].tolist()
    assert mixed.order["b/kernel"].tolist() == other.order["b/kernel"].tolist() != one.order["b/kernel"].tolist()
    with pytest.raises(UserError, match="no kernel is called 'bb/kernel'; the nearest are b/kernel"):
        candidates(graph, ".*", {"bb/kernel": "l1_norm"})


def test_what_can_match_nothing_says_what_there_is():
    with pytest.raises(
        UserError, match=r"no kernel's name matches 'conv\.\*_weights'; the names are a/kernel, b/kernel"
    ):
        candidates(chain(), "conv.*_weights", {})
    with pytest.raises(UserError, match=r"must stay: logits/kernel: the softmax"):
        candidates(chain(), "logits", {})


def test_a_share_is_rounded_to_whole_channels_and_one_stays():
    found = candidates(chain(), ".*", {})
    assert [found.removed("a/kernel", ratio) for ratio in (0, 0.01, 0.03, 0.5, 0.99, 1)] == [0, 0, 1, 12, 23, 23]


def gated_branches() -> Graph:
    """Branches of 4 and 3 channels, laid side by side and multiplied by a gate of 7; the second's filters are tiny."""
    same = Conv2D((1, 1), "same")
    nodes = (
        Node("input", Input((4, 4, 2))),
        Node("large", same, ("input",)),
        Node("tiny", same, ("input",)),
        Node("joined", Concat(), ("large", "tiny")),
        Node("gate", same, ("input",)),
        Node("gated", Multiply(), ("joined", "gate")),
        Node("means", GlobalAveragePool(keepdims=False), ("gated",)),
        Node("logits", Dense(), ("means",)),
        Node("probabilities", Softmax(), ("logits",)),
    )
    random = np.random.default_rng(2)
    shapes = {"large": (1, 1, 2, 4), "tiny": (1, 1, 2, 3), "gate": (1, 1, 2, 7), "logits": (7, 3)}
    weights = {f"{name}/kernel": random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {f"{name}/bias": np.zeros(shape[-1], np.float32) for name, shape in shapes.items()}
    weights["gate/kernel"] = weights["gate/kernel"] * np.array([1, 1, 1, 1, 1e-6, 2e-6, 1e-6], np.float32)
    weights["tiny/kernel"] = np.full((1, 1, 2, 3), 1e-6, np.float32)
    return Graph(nodes, ("probabilities",), weights)


def test_a_layer_of_which_all_channels_would_go_first_keeps_its_best():
    graph = gated_branches()
    found = candidates(graph, ".*", {"*": "l1_norm"})
    (group,) = found.groups
    assert group.size == 7
    for ratio in (0.45, 0.6, 1.0):
        keep = found.keep({group.name: ratio})[group.name]
        assert set(keep) & {4, 5, 6} == {5}, "what the gate has most of"
        assert len(keep) == max(7 - round(7 * ratio), 2), "one of each branch at least"
        thin = found.thin({group.name: ratio})
        assert thin.weights["tiny/kernel"].shape == (1, 1, 2, 1)
        assert total(thin).parameters == sum(values.size for values in thin.weights.values())
