"""A thinner graph computes what the thick one does when what is missing is zero."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from helpers.branching import branching
from helpers.graphs import pictures, small_graph, with_weight
from helpers.numpy_network import execute
from helpers.small_networks import NETWORKS, network
from qatflow.base.errors import UserError
from qatflow.graph.channels import Channels, channels
from qatflow.graph.counts import total
from qatflow.graph.graph import Graph, WeightScale
from qatflow.graph.shapes import shapes
from qatflow.graph.store import load, save
from qatflow.graph.thin import as_if_thin, thin
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model

# what is zero where a channel is to contribute nothing; the layers that read it keep their weights
MAKES_ZERO = ("bias", "gamma", "beta", "moving_mean")


def random_keep(found: Channels, seed: int = 0) -> dict[str, list[int]]:
    random = np.random.default_rng(seed)
    kept = {g.name: sorted(random.permutation(g.size)[: max(1, round(0.6 * g.size))].tolist()) for g in found.groups}
    assert any(len(units) < group.size for units, group in zip(kept.values(), found.groups, strict=True))
    return kept


def with_dead_channels(graph: Graph, keep: dict[str, list[int]]) -> Graph:
    """The graph with the channels of the other units zero where they are made."""
    found = channels(graph)
    weights = {name: values.copy() for name, values in graph.weights.items()}
    places = np.cumsum([0, *(group.size for group in found.groups)])
    gone = {
        int(place) + unit
        for place, group in zip(places, found.groups, strict=False)
        for unit in set(range(group.size)) - set(keep[group.name])
    }
    for node in graph.nodes:
        dead = np.isin(found.of_tensor[node.name], list(gone))
        if node.kernel is not None and not node.is_depthwise:
            weights[node.kernel][..., dead] = 0
        for role in MAKES_ZERO:
            if node.weight(role) in weights:
                weights[node.weight(role)][dead] = 0
    return replace(graph, weights=weights)


@pytest.mark.parametrize("make", [small_graph, branching])
def test_channels_that_are_zero_can_go(make: Callable[[], Graph]):
    found = channels(make())
    keep = random_keep(found)
    graph = with_dead_channels(make(), keep)
    thinner = thin(graph, found, keep)
    images = pictures(8, size=shapes(graph)["input"][0])
    expected, got = (execute(g, images)["probabilities"] for g in (graph, thinner))
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    assert np.ptp(expected, axis=0).max() > 1e-3  # the network says something
    before, after = total(graph), total(thinner)
    assert after.multiply_adds < before.multiply_adds and after.parameters < before.parameters


def test_exactly_the_named_channels_stay():
    graph = branching()
    thinner = thin(graph, channels(graph), {"first/kernel": [1, 3], "second/kernel": [0, 2], "hidden/kernel": [4]})
    old, new = graph.weights, thinner.weights
    np.testing.assert_array_equal(new["first/kernel"], old["first/kernel"][..., [1, 3]])
    np.testing.assert_array_equal(new["first_bn/moving_variance"], old["first_bn/moving_variance"][[1, 3]])
    np.testing.assert_array_equal(new["second/kernel"], old["second/kernel"][:, :, [1, 3]][..., [0, 2]])
    np.testing.assert_array_equal(new["second/bias"], old["second/bias"][[0, 2]])
    np.testing.assert_array_equal(new["wide/depthwise_kernel"], old["wide/depthwise_kernel"][:, :, [0, 2]])
    np.testing.assert_array_equal(new["wide/bias"], old["wide/bias"][[0, 1, 4, 5]])
    # the concatenation: 4 channels of the first, then those of the second
    joined, wide = [1, 3, 4, 6], [0, 1, 4, 5]
    np.testing.assert_array_equal(new["beside/kernel"], old["beside/kernel"][:, :, joined][..., wide])
    np.testing.assert_array_equal(new["gate/kernel"], old["gate/kernel"][:, :, wide][..., wide])
    rows = old["hidden/kernel"].reshape(6, 6, 6, 5)[:, :, wide, 4:].reshape(6 * 6 * 4, 1)
    np.testing.assert_array_equal(new["hidden/kernel"], rows)
    np.testing.assert_array_equal(new["logits/kernel"], old["logits/kernel"][[4]])
    assert shapes(thinner)["flat"] == (144,) and shapes(thinner)["joined"] == (6, 6, 4)
    assert sorted(new) == sorted(old)


@pytest.mark.parametrize("make", [small_graph, branching])
def test_a_graph_that_reads_no_removed_channel_computes_what_the_thin_one_does(make: Callable[[], Graph]):
    graph = make()
    found = channels(graph)
    keep = random_keep(found, seed=1)
    images = pictures(8, size=shapes(graph)["input"][0])
    expected = execute(thin(graph, found, keep), images)["probabilities"]
    tried = as_if_thin(graph, found, keep)
    assert {n: v.shape for n, v in tried.weights.items()} == {n: v.shape for n, v in graph.weights.items()}
    np.testing.assert_allclose(execute(tried, images)["probabilities"], expected, rtol=1e-10, atol=1e-12)
    assert np.abs(execute(graph, images)["probabilities"] - expected).max() > 1e-3


def test_all_stay_where_nothing_is_named():
    graph = branching()
    same = thin(graph, channels(graph), {})
    assert same.nodes == graph.nodes
    for name, values in graph.weights.items():
        np.testing.assert_array_equal(same.weights[name], values)


@pytest.mark.parametrize("units", [[], [0, 0], [1, 0], [4], [-1]])
def test_units_that_are_none_are_refused(units: list[int]):
    graph = branching()
    with pytest.raises(ValueError, match="first/kernel"):
        thin(graph, channels(graph), {"first/kernel": units})
    with pytest.raises(ValueError, match="nothing"):
        thin(graph, channels(graph), {"nothing": [0]})


def test_a_quantised_graph_is_refused():
    graph = branching()
    scaled = replace(graph, weight_scales={"first/kernel": WeightScale(8, np.ones(1, np.float32))})
    with pytest.raises(ValueError, match="quantisation comes last"):
        thin(scaled, channels(scaled), {"first/kernel": [0]})


@pytest.mark.parametrize(
    ("weight", "shape", "message"),
    [
        ("second/kernel", (1, 1, 5, 3), "'second': its kernel .* reads 5 channels, but 'first_relu' has 4"),
        ("first_bn/beta", (3,), r"'first_bn': its beta has the shape \(3,\), but its output has 4 channels"),
        ("wide/bias", (3,), "'wide': its bias"),
        ("hidden/kernel", (215, 5), "'hidden': its kernel"),
        ("beside/kernel", (3, 3, 7, 5), "'beside': its bias"),
    ],
)
def test_weights_that_do_not_fit_are_found(weight: str, shape: tuple[int, ...], message: str):
    shapes(branching())
    with pytest.raises(UserError, match=message):
        shapes(with_weight(branching(), weight, np.ones(shape, np.float32)))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_without_their_dead_channels_run_as_before_and_are_smaller(name: str, tmp_path):
    graph = network(name)
    found = channels(graph)
    keep = random_keep(found)
    dead = with_dead_channels(graph, keep)
    thinner = thin(dead, found, keep)
    images = np.random.default_rng(2).normal(0, 1, (6, 32, 32, 1)).astype(np.float32)
    contents = [convert(g).content for g in (dead, thinner)]
    expected, got = (Model(content).outputs(images) for content in contents)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
    # other channels are missed
    others = Model(convert(thin(dead, found, random_keep(found, seed=1))).content).outputs(images)
    assert np.abs(others - expected).max() > 1e-2
    assert len(contents[1]) < 0.7 * len(contents[0])
    assert total(thinner).multiply_adds < 0.6 * total(dead).multiply_adds
    tried = Model(convert(as_if_thin(graph, found, keep)).content).outputs(images)
    thin_of_all = Model(convert(thin(graph, found, keep)).content).outputs(images)
    np.testing.assert_allclose(tried, thin_of_all, rtol=0, atol=2e-6)
    for which, saved in (("thick", dead), ("thin", thinner)):
        save(saved, tmp_path / which)
    assert (tmp_path / "thin/weights").stat().st_size < 0.7 * (tmp_path / "thick/weights").stat().st_size
    again = load(tmp_path / "thin")
    assert again.nodes == thinner.nodes
