"""compressor.init_model: a quantised or float graph that training begins with."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.chain import chain
from helpers.graphs import pictures, small_graph
from qatflow.base.errors import UserError
from qatflow.config.sections.ptq import PtqSection
from qatflow.graph.graph import ActivationScale, WeightScale
from qatflow.graph.shifted import without_shared_zeros
from qatflow.graph.store import save
from qatflow.ptq.graph import quantise_graph
from qatflow.quantisation.placement import QuantSettings
from qatflow.training.init_model import initial_graph
from qatflow.trial.pictures import PicturesInMemory


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


@pytest.mark.tensorflow
def test_training_begins_with_the_integers_that_were_trained_layer_by_layer(tmp_path):
    """As `init_model: ptq` does: the largest integer of each channel is that of the width, so its scale comes back."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.training.keras_model import training_model

    settings = QuantSettings(4, 8, "channel_wise_abs_max", "moving_average_abs_max")
    section = PtqSection(
        tool="qatflow", rounding="adaround", rounding_steps=30, weight_range="mse", bias_correction=True
    )
    after = quantise_graph(small_graph(), settings, section, PicturesInMemory(pictures(12)), 1, log=lambda line: None)
    save(after, tmp_path)
    graph = initial_graph(tmp_path, small_graph())
    quantisers = Quantisers(graph, settings)
    model = training_model(graph, seed=0, step=0, hooks=quantisers)
    quantisers.calibrate(model, lambda: [pictures(12)])
    quantisers.phase.mode = "quantise"
    found, _ = quantisers.quantised_graph(model)
    for name, scale in after.weight_scales.items():
        # the power of two that they are stored times depends on the ranges of activations, which training finds anew
        (integers, times), (own, own_times) = (without_shared_zeros(one.weights[name]) for one in (found, after))
        np.testing.assert_array_equal(integers, own, err_msg=name)
        np.testing.assert_allclose(found.weight_scales[name].scale * 2**times, scale.scale * 2**own_times, rtol=1e-6)
    kernel = small_graph().weights["left/kernel"]
    nearest = np.rint(kernel / (np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0) / 7))
    assert (nearest != after.weights["left/kernel"]).any(), "training from float begins elsewhere"
