"""What compression leaves of frozen layers: their kernels, and the channels that these make or read."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.chain import chain
from helpers.graphs import small_graph
from qatflow.base.errors import UserError
from qatflow.graph.channels import channels
from qatflow.graph.graph import Graph
from qatflow.graph.kernels import frozen_layers, trained_kernels
from qatflow.pruning.candidates import candidates
from qatflow.pruning.ratios import PruningTarget, uniform_ratios
from qatflow.pruning.record import pruning_record


def frozen(*names: str, graph: Graph | None = None) -> Graph:
    return replace(graph or chain(), frozen=frozenset(names))


def test_the_channels_that_a_frozen_kernel_makes_or_reads_stay():
    found = channels(frozen("b"))
    assert [group.name for group in found.groups] == ["c/kernel"]
    assert found.fixed["a/kernel"] == "'b', which reads them, is frozen"
    assert found.fixed["b/kernel"] == "'b' is frozen"
    # and so do all that are tied to them, here through the sum behind a depthwise layer
    found = channels(frozen("dw", graph=small_graph()))
    assert found.groups == () and found.fixed["left/kernel"] == found.fixed["conv/kernel"]


def test_frozen_batch_norm_keeps_the_values_of_the_channels_that_stay():
    graph = frozen("b_bn")
    found = candidates(graph, "b", {})
    assert found.frozen == ()
    kept = found.keep({"b/kernel": 0.5})["b/kernel"]
    thin = found.thin({"b/kernel": 0.5})
    for role in ("gamma", "beta", "moving_mean", "moving_variance"):
        np.testing.assert_array_equal(thin.weights[f"b_bn/{role}"], graph.weights[f"b_bn/{role}"][kept])


def test_pruning_leaves_frozen_kernels_whole_and_names_what_it_leaves():
    graph = frozen("b")
    found = candidates(graph, ".*", {})
    assert [group.name for group in found.groups] == ["c/kernel"] and found.frozen == ("a/kernel", "b/kernel")
    assert "of a/kernel, b/kernel, which are not pruned; with model.frozen_layers: train" in found.message()
    assert candidates(chain(), ".*", {}).message() == ""
    thin = found.thin({"c/kernel": 0.5})
    for name in ("a/kernel", "b/kernel"):
        np.testing.assert_array_equal(thin.weights[name], graph.weights[name])
    assert thin.weights["c/kernel"].shape[-1] == 30 and thin.frozen == {"b"}
    layers = {layer.layer: layer for layer in pruning_record(found, {"c/kernel": 0.5}, thin).layers}
    assert (layers["b"].group, layers["b"].fixed) == (None, "'b' is frozen")
    with pytest.raises(UserError, match=r"9\d % of the multiply-adds cannot go.* \(frozen layers have the channels of"):
        uniform_ratios(found, PruningTarget(0.99))


@pytest.mark.parametrize(("pattern", "names"), [("a", ("b",)), (".*", ("a", "b", "c"))])
def test_pruning_that_frozen_layers_leave_nothing_is_refused_with_their_names(pattern: str, names: tuple[str, ...]):
    message = r"a/kernel: '\w', which reads them, is frozen.*; with model\.frozen_layers: train they are like all"
    with pytest.raises(
        UserError, match=message if pattern == "a" else message.replace(r"'\w', which reads them,", "'a'")
    ):
        candidates(frozen(*names), pattern, {})


def test_single_weights_of_frozen_kernels_are_left_too(capsys: pytest.CaptureFixture[str]):
    graph = frozen("b", "c_bn")
    assert trained_kernels(graph, "[ab]/", "pruned_params") == ["a/kernel"]
    assert capsys.readouterr().out == ""
    assert trained_kernels(graph, "[ab]/", "pruned_params", "made sparse") == ["a/kernel"]
    assert capsys.readouterr().out.startswith("frozen, and so not made sparse: b/kernel; with model.frozen_layers")
    with pytest.raises(UserError, match=r"^pruned_params: 'b' matches kernels of frozen layers alone.*\(b/kernel\): "):
        trained_kernels(graph, "b", "pruned_params")
    # batch-norm whose gamma is a constant is not frozen as long as its statistics move
    assert frozen_layers(graph) == ["b"]
    assert frozen_layers(replace(graph, moving_statistics=frozenset({"c_bn"}))) == ["b", "c_bn"]
