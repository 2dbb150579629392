"""What training for int8 computes of operations on single values and constants is what NumPy and the device do."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.elementwise import CONSTANTS, IN_FLOAT, every_operation, pictures
from helpers.numpy_network import compute, execute
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Input, PictureDropout

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def trained():
    """The graph, its training model calibrated and quantised, what it computes, and its integers."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model
    from qatflow.training.runtime import start

    start(seed=0, threads=2)
    whole = every_operation()
    # training has one output: the last operation
    graph = replace(whole, outputs=("at_most",))
    quantisers = Quantisers(graph, QuantSettings(8, 8, "abs_max", "moving_average_min_max"))
    model = training_model(graph, seed=0, step=0, hooks=quantisers)
    names = [node.name for node in graph.nodes[1:]]
    model_of_all = model.with_tensors(names)
    in_float = dict(zip(names, model_of_all(pictures(), training=False)[1:], strict=True))
    quantisers.phase.mode = "calibrate"
    model_of_all(pictures(), training=True)
    quantisers.phase.mode = "quantise"
    rounded = dict(zip(names, model_of_all(pictures(), training=False)[1:], strict=True))
    return graph, in_float, rounded, quantisers.quantised_graph(model)[0], model


def test_in_float_each_is_numpys(trained):
    graph, in_float, _, _, _ = trained
    expected = execute(graph, pictures())
    for name, values in in_float.items():
        np.testing.assert_allclose(values.numpy(), expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_each_rounds_as_its_int8_kernel_does(trained):
    """By the definition, from the rounded tensors that it reads; a float32 tie may fall on the other side."""
    _, _, rounded, quantised, _ = trained
    for node in quantised.nodes[3:]:
        sources = {name: rounded[name].numpy().astype(np.float64) for name in node.inputs}
        inputs = tuple(Node(name, Input(values.shape[1:])) for name, values in sources.items())
        weights = {name: values for name, values in quantised.weights.items() if name.startswith(f"{node.name}/")}
        value = compute(replace(quantised, nodes=(*inputs, node), weights=weights), node, sources)
        scale = quantised.activation_scales.get(node.name)
        if scale is None:
            assert node.name in IN_FLOAT or not quantised.consumers(node.name)
            continue
        steps = np.clip(np.rint(value / scale.scale) + scale.zero_point, -128, 127)
        found = rounded[node.name].numpy() / scale.scale + scale.zero_point
        assert (np.abs(found - steps) > 0.01).mean() < 0.02, node.name
        assert np.abs(found - steps).max() < 1.01, node.name


def test_constants_keep_their_values_and_have_the_integers_of_numpy(trained):
    graph, _, _, quantised, model = trained
    for name, (_, constant) in CONSTANTS.items():
        values = np.asarray(constant, np.float32)
        np.testing.assert_array_equal(model.variables[f"{name}/constant"].numpy(), values)
        scale = quantised.weight_scales.get(f"{name}/constant")
        if scale is not None:
            np.testing.assert_allclose(scale.scale, [np.abs(values).max() / 127], rtol=1e-6)
            wanted = np.rint(values / scale.scale.astype(np.float64))
            assert np.abs(quantised.weights[f"{name}/constant"] - wanted).max() <= 0
    held = {name for name, variable in model.variables.items() if not variable.trainable}
    assert held == {f"{name}/constant" for name in CONSTANTS}
    assert graph.weights["prelu/alpha"].shape == quantised.weights["prelu/alpha"].shape


def test_stochastic_depth_zeroes_whole_pictures_and_keeps_their_mean():
    from qatflow.training.keras_model import training_model

    nodes = (Node("input", Input((4, 4, 2))), Node("drop", PictureDropout(0.25), ("input",)))
    model = training_model(Graph(nodes, ("drop",), {}), seed=3, step=7)
    ones = np.ones((4000, 4, 4, 2), np.float32)
    found = model.keras(ones, training=True).numpy().reshape(4000, -1)
    assert (found == found[:, :1]).all()
    assert set(np.unique(found.round(4))) == {np.float32(0), np.float32(1.3333)}
    assert abs((found[:, 0] == 0).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(model.keras(ones[:2], training=False), ones[:2])
