"""inspect: the noise of each layer against NumPy."""

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from helpers.numpy_quantised import quantised
from qatflow.base.errors import UserError
from qatflow.evaluate.layers import inspect_layers, table
from qatflow.graph.passes import run_all
from qatflow.tflite.lower import convert


@pytest.fixture
def models():
    graph = quantised(small_graph(), per_channel=True)
    return convert(small_graph()).content, convert(graph).content, graph


def test_noise_scales_and_ranges_are_those_of_numpy(models):
    float_model, int8_model, graph = models
    images = pictures(16)
    layers = {layer.name: layer for layer in inspect_layers(float_model, int8_model, images)}
    assert set(layers) == {"input", "conv", "dw", "left", "sum", "pool", "logits"}
    reference = execute(run_all(small_graph())[0], images)
    noisy = execute(run_all(graph)[0], images, fake_quant=True)
    for name, layer in layers.items():
        noise = ((reference[name] - noisy[name]) ** 2).sum()
        assert layer.sqnr_db == pytest.approx(10 * np.log10((reference[name] ** 2).sum() / noise), abs=1.5)
        assert layer.float_low == pytest.approx(reference[name].min(), abs=1e-5)
        assert layer.float_high == pytest.approx(reference[name].max(), abs=1e-5)
    assert layers["input"].scale == pytest.approx(graph.activation_scales["input"].scale)
    assert layers["conv"].weight_scale_high > layers["conv"].weight_scale_low > 0
    assert layers["input"].weight_scale_low is None
    outside = np.abs(images / layers["input"].scale)
    assert layers["input"].clipped == pytest.approx(((images > 0) & (outside > 127.5) | (outside > 128.5)).mean())


def test_layers_come_in_the_order_of_execution_and_the_table_has_the_noisiest_first(models):
    layers = inspect_layers(*models[:2], pictures(4))
    assert [layer.name for layer in layers] == ["input", "conv", "dw", "left", "sum", "pool", "logits"]
    noisiest = min(layers, key=lambda layer: layer.sqnr_db)
    assert table(layers).splitlines()[1].startswith(noisiest.name)


def test_the_histogram_and_the_noise_of_rounding_are_those_of_numpy(models):
    images = pictures(16)
    layers = {layer.name: layer for layer in inspect_layers(*models[:2], images)}
    reference = execute(run_all(small_graph())[0], images)
    for name in ("input", "conv", "sum"):
        layer, values = layers[name], reference[name].astype(np.float64)
        edges = (np.linspace(-128.5, 127.5, 33) - layer.zero_point) * layer.scale
        step = edges[1] - edges[0]
        all_edges = np.concatenate([edges[0] + step * np.arange(-8, 0), edges, edges[-1] + step * np.arange(1, 9)])
        all_edges[[0, -1]] = -np.inf, np.inf
        counts, _ = np.histogram(values, all_edges)
        assert np.abs(np.asarray(layer.histogram) - counts / values.size).max() < 0.002, "a value at an edge may move"
        assert sum(layer.histogram) == pytest.approx(1)
        grid = np.clip(np.rint(values / layer.scale) + layer.zero_point, -128, 127)
        noise = ((values - (grid - layer.zero_point) * layer.scale) ** 2).sum()
        assert layer.rounding_db == pytest.approx(10 * np.log10((values**2).sum() / noise), abs=0.05)


def test_models_of_different_networks_are_refused(models):
    from dataclasses import replace

    from qatflow.graph.graph import Graph

    graph = small_graph()
    nodes = tuple(replace(n, name=f"x_{n.name}", inputs=tuple(f"x_{i}" for i in n.inputs)) for n in graph.nodes)
    weights = {f"x_{name}": values for name, values in graph.weights.items()}
    other = Graph(nodes, ("x_probabilities",), weights)
    with pytest.raises(UserError, match="share no tensor"):
        inspect_layers(convert(other).content, models[1], pictures(1))


def test_a_quantised_graph_s_real_values_are_a_reference_without_the_noise_of_weights(models):
    float_model, int8_model, graph = models
    reference = convert(graph.in_real_values()).content
    images = pictures(16)
    own = {layer.name: layer.sqnr_db for layer in inspect_layers(reference, int8_model, images)}
    whole = {layer.name: layer.sqnr_db for layer in inspect_layers(float_model, int8_model, images)}
    assert own.keys() == whole.keys()
    assert own["input"] == pytest.approx(whole["input"]), "before any weight"
    assert own["conv"] > whole["conv"]
