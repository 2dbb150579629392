"""compressor.init_model: a quantised or float graph that training begins with."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.chain import chain
from qatflow.base.errors import UserError
from qatflow.graph.graph import ActivationScale, WeightScale
from qatflow.graph.store import save
from qatflow.training.init_model import initial_graph


def test_integers_become_the_real_values_they_stand_for(tmp_path):
    graph = chain()
    integers = np.random.default_rng(0).integers(-127, 128, graph.weights["b/kernel"].shape).astype(np.int8)
    scale = np.float32(0.03)
    quantised = replace(
        graph,
        weights={**graph.weights, "b/kernel": integers},
        weight_scales={"b/kernel": WeightScale(8, np.full(1, scale))},
        activation_scales={graph.nodes[0].name: ActivationScale(8, 0.5)},
    )
    for form in ("integer", "float"):
        save(quantised, tmp_path / form, form)
        found = initial_graph(tmp_path / form, replace(graph, frozen=frozenset({"b"})))
        assert found.frozen == {"b"}, "as in the float model"
        assert (found.nodes, found.weight_scales, found.activation_scales) == (graph.nodes, {}, {})
        np.testing.assert_array_equal(found.weights["b/kernel"], integers.astype(np.float32) * scale)
        assert found.weights["b/kernel"].dtype == np.float32
        np.testing.assert_array_equal(found.weights["a/kernel"], graph.weights["a/kernel"])


def test_a_network_for_other_classes_is_refused(tmp_path):
    graph = chain()
    save(graph, tmp_path / "own")
    last = next(node.kernel for node in reversed(graph.nodes) if node.kernel)
    assert last is not None
    names = {name for name in graph.weights if name.startswith(last.rsplit("/", 1)[0] + "/")}
    fewer = replace(graph, weights={k: v[..., :-1] if k in names else v for k, v in graph.weights.items()})
    with pytest.raises(UserError, match=r"^compressor\.init_model: .*own: goes from .* to \d+, the float model from"):
        initial_graph(tmp_path / "own", fewer)
