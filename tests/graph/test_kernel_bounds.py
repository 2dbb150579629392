"""Scales that int8 kernels can hold: a tensor that is zero for all pictures still loads, runs, and is what it was."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from helpers.numpy_network import execute
from qatflow.base.errors import UserError
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.kernel_bounds import held
from qatflow.graph.operations import (
    Add,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePool,
    Input,
    LeakyRelu,
    Multiply,
    Operation,
    Relu,
    Relu6,
    Softmax,
)
from qatflow.graph.silent_channels import silence
from qatflow.ptq.quantise import quantise
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.tflite.kernel_bounds import too_small
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model
from qatflow.tflite.tensors import Tensors
from qatflow.trial.float_ranges import float_ranges

DEAD = -50.0
"""A bias so far below zero that no picture gets a value through the ReLU behind it."""
JOINS: dict[str, Operation] = {"add": Add(), "multiply": Multiply(), "concat": Concat()}


def network(kind: str, join: str, bias: float) -> Graph:
    """A convolution, a layer with `bias` beside it, the two joined, a leaky ReLU, a classifier."""
    random = np.random.default_rng(3)
    layers: dict[str, Operation] = {
        "conv": Conv2D((1, 1), "same"), "depthwise": DepthwiseConv2D((1, 1), "same"), "dense": Dense()
    }  # fmt: skip
    beside = Node("beside", layers[kind], ("first_relu",))
    nodes = (
        Node("input", Input((6, 6, 2))),
        Node("first", Conv2D((1, 1), "same"), ("input",)),
        Node("first_relu", Relu(), ("first",)),
        beside,
        Node("beside_relu", Relu(), ("beside",)),
        Node("joined", JOINS[join], ("first_relu", "beside_relu")),
        Node("leaky", LeakyRelu(0.1), ("joined",)),
        Node("behind", Conv2D((1, 1), "same"), ("beside_relu",)),
        Node("together", Concat(), ("leaky", "behind")),
        Node("pool", GlobalAveragePool(False), ("together",)),
        Node("logits", Dense(), ("pool",)),
        Node("probabilities", Softmax(), ("logits",)),
    )
    channels = 8 if join == "concat" else 4
    shapes = {"conv": (3, 3, 4, 4), "depthwise": (3, 3, 4, 1), "dense": (4, 4)}
    drawn = {
        "first/kernel": (3, 3, 2, 4), beside.kernel: shapes[kind], "behind/kernel": (1, 1, 4, 4),
        "logits/kernel": (channels + 4, 3),
    }  # fmt: skip
    weights = {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in drawn.items() if name}
    weights |= {"beside/bias": np.full(4, bias, np.float32), "behind/bias": np.array([0.5, -1, 2, 0], np.float32)}
    return Graph(nodes, ("probabilities",), weights)


def images(count: int = 8) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1, (count, 6, 6, 2)).astype(np.float32)


def settings(weights: str = "abs_max", activations: str = "moving_average_abs_max") -> QuantSettings:
    return QuantSettings(8, 8, weights, activations)


def calibrated(graph: Graph, how: QuantSettings) -> Graph:
    return as_if_quantised(
        graph, how, float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), images())
    )


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_a_layer_that_is_zero_for_all_pictures_loads_and_computes_what_it_did(kind: str, join: str):
    graph = network(kind, join, DEAD)
    for how in product(("abs_max", "channel_wise_abs_max"), ("moving_average_abs_max", "moving_average_min_max")):
        quantised = calibrated(graph, settings(*how))
        found = Model(convert(quantised).content).outputs(images())
        expected = execute(quantised, images(), fake_quant=True)["probabilities"]
        assert not execute(quantised, images(), fake_quant=True)["beside_relu"].any()
        step = quantised.activation_scales["logits"].scale
        # a step of the logits is a quarter of one in a probability, and four kernels may round otherwise than float64
        assert np.abs(found - expected).max() <= step, how


def test_without_the_least_scale_it_cannot_be_loaded():
    """The bound is real: what the range alone asks for ends in LiteRT's own message."""
    quantised = calibrated(network("conv", "add", DEAD), settings())
    dead = ActivationScale(8, float(np.float32(1e-8 / 127)))
    scales = {**quantised.activation_scales, "beside_relu": dead}
    narrow, _ = silence(replace(quantised, activation_scales=scales))
    with pytest.raises(UserError, match="failed to create XNNPACK runtime"):
        Model(convert(narrow).content)
    raised, changed = held(narrow)
    assert list(changed) == ["beside_relu"]
    before, after = changed["beside_relu"]
    assert before == dead.scale and after == raised.activation_scales["beside_relu"].scale
    # input step times the kernel's, by 255
    step = quantised.activation_scales["first_relu"].scale * quantised.weight_scales["beside/kernel"].scale[0]
    np.testing.assert_allclose(after, step / 255, rtol=1e-6)
    Model(convert(raised).content)


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_scales_of_layers_that_are_alive_are_not_touched(kind: str, join: str):
    graph = network(kind, join, 0.5)
    quantised = calibrated(graph, settings())
    tensors = execute(graph, images())
    for name in ("input", "first_relu", "beside_relu", "behind", "pool", "logits"):
        steps = 255 if name.endswith("_relu") else 127
        least = np.abs(tensors["together" if name == "behind" else name]).max() / steps
        np.testing.assert_allclose(quantised.activation_scales[name].scale, least, rtol=1e-4, err_msg=name)
    again, raised = held(quantised)
    assert raised == {} and again.activation_scales == quantised.activation_scales


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_quantised_after_training_it_loads_and_answers_like_the_float_model(kind: str, join: str, capsys):
    content = convert(network(kind, join, DEAD)).content
    quantised = quantise(content, images())
    assert capsys.readouterr().out.count("warning: beside is (nearly) zero for all pictures") == 1
    expected, found = (Model(one).outputs(images()) for one in (content, quantised))
    assert np.abs(found - expected).max() < 0.01
    assert np.abs(expected - 1 / 3).max() > 0.05
    # the bias of the layer behind the dead one is what it was, to a step
    (behind,) = (o for o in operators(quantised) if o.outputs[0].name == "behind")
    np.testing.assert_allclose(behind.inputs[2].data * behind.inputs[2].scale, [0.5, -1, 2, 0], rtol=1e-4, atol=1e-6)


def test_quantised_after_training_a_network_that_is_alive_has_the_tools_own_bytes(capsys):
    content = convert(network("conv", "add", 0.5)).content
    assert too_small(operators(quantise(content, images()))) == {}
    assert "warning" not in capsys.readouterr().out


def near_zero() -> Graph:
    """A network that ends in a ReLU6 by itself, behind others within operators; no value is above 10⁻⁶."""
    whole = network("conv", "concat", 0.0)
    last = [node.name for node in whole.nodes].index("leaky")
    kept = [node for node in whole.nodes[: last + 1] if node.name != "behind"]
    relu6 = {"first_relu", "beside_relu", "leaky"}
    nodes = [replace(node, operation=Relu6()) if node.name in relu6 else node for node in kept]
    graph = whole.with_nodes(nodes, outputs=("leaky",))
    return replace(graph, weights={**graph.weights, "first/kernel": graph.weights["first/kernel"] * np.float32(1e-8)})


def test_a_relu6_of_values_near_zero_is_clipped_at_an_integer_that_fits_int32():
    graph = near_zero()
    quantised = calibrated(graph, settings())
    expected = execute(quantised, images(), fake_quant=True)["leaky"]
    step, zero = quantised.activation_scales["leaky"].scale, quantised.activation_scales["leaky"].zero_point
    assert expected.any() and expected.max() < 1e-6 and 6 / step < 2**31
    content = convert(quantised).content
    own = Tensors(content)
    for picture, wanted, found in zip(images(), expected, Model(content).outputs(images()), strict=True):
        own.run(picture)
        for values in (found, (own.value("leaky") - float(zero)) * step):
            assert np.abs(values.ravel() - wanted.ravel()).max() <= 1.01 * step

    # the bound is real: with the scales of the ranges alone, kernels refuse or clip everything to −128
    scales = {name: float(np.abs(values).max() / 127) for name, values in execute(graph, images()).items()}
    narrow = replace(
        quantised,
        activation_scales={name: replace(s, scale=scales[name]) for name, s in quantised.activation_scales.items()},
    )
    assert set(held(narrow)[1]) >= {"first_relu", "beside_relu", "leaky"}
    assert set(too_small(operators(convert(narrow).content))) >= {"first", "leaky"}
    with pytest.raises(RuntimeError, match="no_integer_overflow_from_quantization"):
        Tensors(convert(narrow).content)


def test_quantised_after_training_values_near_zero_load_in_all_kernels(capsys):
    content = convert(near_zero()).content
    quantised = quantise(content, images())
    assert "warning: first is (nearly) zero for all pictures" in capsys.readouterr().out
    assert too_small(operators(quantised)) == {}
    expected, found = (Model(one).outputs(images()) for one in (content, quantised))
    Tensors(quantised).run(images(1)[0])
    (last,) = (operator for operator in operators(quantised) if operator.name == "CONCATENATION")
    assert np.abs(found - expected).max() <= 2.01 * last.outputs[0].scale[0]
