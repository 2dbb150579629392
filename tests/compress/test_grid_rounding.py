"""Pools and resizes round in training as their int8 kernels do, held to NumPy and to the definition."""

import numpy as np
import pytest

from helpers.numpy_network import execute
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Add, AveragePool, Conv2D, Input, MaxPool, Operation, Reshape, Resize, UpSample

pytestmark = pytest.mark.tensorflow

ROUNDED = ("even", "odd", "bilinear", "smaller")


def branches() -> Graph:
    """Pools and resizes of a convolution, which has negative values, and of a pool of it."""
    operations: dict[str, tuple[str, Operation]] = {
        "conv": ("input", Conv2D((1, 1), "same")),
        "even": ("conv", AveragePool((2, 2), (2, 2), "valid")),
        "largest": ("conv", MaxPool((2, 2), (1, 1), "same")),
        "odd": ("largest", AveragePool((3, 3), (2, 2), "same")),
        "bilinear": ("even", UpSample((2, 2), bilinear=True)),
        "smaller": ("bilinear", Resize(4, 4, bilinear=True)),
    }
    nodes = [Node("input", Input((8, 8, 3)))]
    nodes += [Node(name, operation, (source,)) for name, (source, operation) in operations.items()]
    nodes += [Node("sum", Add(), ("odd", "smaller")), Node("flat", Reshape((64,)), ("sum",))]
    kernel = np.random.default_rng(0).normal(0, 1, (1, 1, 3, 4)).astype(np.float32)
    return Graph(tuple(nodes), ("flat",), {"conv/kernel": kernel})


def pictures() -> np.ndarray:
    return np.random.default_rng(1).normal(0.2, 1, (4, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", ["moving_average_abs_max", "moving_average_min_max"])
def test_training_rounds_means_to_the_grid_as_the_kernels_do(kind: str):
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model

    quantisers = Quantisers(branches(), QuantSettings(8, 8, "channel_wise_abs_max", kind))
    model = training_model(branches(), seed=0, step=0, hooks=quantisers)
    names = ("conv", *ROUNDED)
    with_tensors = model.with_tensors(names)
    quantisers.phase.mode = "calibrate"
    with_tensors(pictures(), training=True)
    quantisers.phase.mode = "quantise"
    # a training step moves the ranges first, and all round on the grid that they then have
    for values in (2 * pictures(), pictures()):
        found = dict(zip(("logits", *names), with_tensors(values, training=True), strict=True))
        graph, _ = quantisers.quantised_graph(model)
        expected = execute(graph, values, fake_quant=True)
        step = graph.activation_scales["conv"].scale
        assert step is not None
        again = fake_quant_model(graph).with_tensors(names)(values)
        for name, fixed in zip(names, again[1:], strict=True):
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-4 * step)
            np.testing.assert_allclose(fixed, expected[name], rtol=0, atol=1e-4 * step)


def test_a_tie_goes_away_from_the_integer_zero_or_up_and_the_gradient_is_that_of_the_mean():
    import tensorflow as tf

    from qatflow.compress.quantizers.grid_rounding import rounded

    steps = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.25, -0.25, 0.75, 126.5], np.float32)
    wanted = {"away": [-3, -2, -1, 1, 2, 3, 0, 0, 1, 127], "up": [-2, -1, 0, 1, 2, 3, 0, 0, 1, 127]}
    scale, zero_point = 0.1, 7.0
    values = tf.constant((steps - zero_point) * scale, tf.float32)
    for ties, integers in wanted.items():
        with tf.GradientTape() as tape:
            tape.watch(values)
            on_grid = rounded(values, scale, zero_point, ties)
        np.testing.assert_allclose(on_grid, (np.array(integers) - zero_point) * scale, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(tape.gradient(on_grid, values), np.ones(len(steps)))


def test_in_float_nothing_is_rounded():
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model

    quantisers = Quantisers(branches(), QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))
    model = training_model(branches(), seed=0, step=0, hooks=quantisers).with_tensors(ROUNDED)
    expected = execute(branches(), pictures())
    for name, found in zip(ROUNDED, model(pictures())[1:], strict=True):
        np.testing.assert_allclose(found, expected[name], rtol=0, atol=1e-5)
