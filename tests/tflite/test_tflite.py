"""Lowering: the .tflite model computes what the graph says, in int8 where it says so."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph, with_weight
from helpers.numpy_network import execute
from helpers.numpy_quantised import quantised
from qatflow.base.errors import UserError
from qatflow.graph.cut import cut
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.operations import AveragePool, Conv2D, DepthwiseConv2D, Input, MaxPool, Softmax, Tanh
from qatflow.graph.silent_channels import silence
from qatflow.tflite.lower import convert, lower
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model


def test_the_float_model_equals_numpy():
    graph, images = small_graph(), pictures()
    found = Model(convert(graph).content).outputs(images)
    np.testing.assert_allclose(found, execute(graph, images)["probabilities"], rtol=0, atol=1e-5)


def test_dilations_multipliers_and_pools_equal_numpy():
    nodes = (
        Node("input", Input((9, 8, 2))),
        Node("conv", Conv2D((1, 1), "same", (2, 1)), ("input",)),
        Node("dw", DepthwiseConv2D((2, 1), "same"), ("conv",)),
        Node("max", MaxPool((3, 2), (2, 1), "same"), ("dw",)),
        Node("mean", AveragePool((2, 3), (1, 2), "same"), ("max",)),
        Node("tanh", Tanh(), ("mean",)),
    )
    random = np.random.default_rng(0)
    shapes = {"conv/kernel": (3, 3, 2, 4), "dw/depthwise_kernel": (3, 3, 4, 2)}
    graph = Graph(nodes, ("tanh",), {name: random.normal(0, 0.3, s).astype(np.float32) for name, s in shapes.items()})
    images = random.normal(size=(3, 9, 8, 2)).astype(np.float32)
    expected = execute(graph, images)["tanh"].reshape(3, -1)
    np.testing.assert_allclose(Model(convert(graph).content).outputs(images), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_int8_model_equals_numpy_fake_quantisation(per_channel: bool):
    graph, images = quantised(small_graph(), per_channel), pictures(32)
    found = Model(convert(graph).content).outputs(images)
    expected = execute(graph, images, fake_quant=True)
    # a value that falls on a tie may be rounded to the other side: one step of the logits
    step = graph.activation_scales["logits"].scale
    assert np.abs(found - expected["probabilities"]).max() <= 2 * step / 4
    assert (found.argmax(axis=1) == expected["probabilities"].argmax(axis=1)).mean() >= 0.95


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_int8_model_holds_exactly_these_operators(per_channel: bool):
    found = operators(convert(quantised(small_graph(), per_channel)).content)
    assert [(o.name, o.outputs[0].dtype) for o in found] == [
        ("QUANTIZE", "INT8"), ("CONV_2D", "INT8"), ("DEPTHWISE_CONV_2D", "INT8"), ("CONV_2D", "INT8"),
        ("ADD", "INT8"), ("MEAN", "INT8"), ("FULLY_CONNECTED", "INT8"), ("DEQUANTIZE", "FLOAT32"),
        ("SOFTMAX", "FLOAT32"),
    ]  # fmt: skip


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_integers_are_those_of_the_graph_up_to_the_sign_of_gamma(per_channel: bool):
    graph = quantised(small_graph(), per_channel)
    by_name = {o.inputs[1].name: o.inputs for o in operators(convert(graph).content) if len(o.inputs) == 3}
    signs = np.sign(graph.weights["conv_bn/gamma"]).astype(np.int8)
    conv = by_name["conv/kernel"]
    np.testing.assert_array_equal(conv[1].data, np.moveaxis(graph.weights["conv/kernel"] * signs, 3, 0))
    signs = np.sign(graph.weights["dw_bn/gamma"]).astype(np.int8)
    depthwise = graph.weights["dw/depthwise_kernel"][:, :, :, 0] * signs
    np.testing.assert_array_equal(by_name["dw/depthwise_kernel"][1].data[0], depthwise)
    np.testing.assert_array_equal(by_name["logits/kernel"][1].data, graph.weights["logits/kernel"].T)
    # the bias has the scale of what is summed up in int32
    np.testing.assert_allclose(conv[2].scale, conv[0].scale * conv[1].scale, rtol=1e-7)


def test_the_same_graph_gives_the_same_bytes():
    first, second = (convert(quantised(small_graph(), True)).content for _ in range(2))
    assert first == second


def test_weights_lie_aligned_in_the_file():
    content = convert(small_graph()).content
    for name in ("logits/kernel",):
        data = small_graph().weights[name].T
        assert content.index(np.ascontiguousarray(data).tobytes()) % 16 == 0


def channel(kernel: np.ndarray, index: int) -> np.ndarray:
    return kernel.reshape(*kernel.shape[:2], -1)[..., index] if kernel.shape[-1] == 1 else kernel[..., index]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 1e-20, 3e-9])
@pytest.mark.parametrize("layer", ["conv/kernel", "dw/depthwise_kernel"])
def test_a_channel_switched_off_by_gamma_is_its_bias_in_every_form(layer: str, gamma: float, per_channel: bool):
    norm = f"{layer.split('/')[0]}_bn/gamma"
    graph = with_weight(quantised(small_graph(), per_channel), norm, np.array([gamma, 1, -1, 0.5], np.float32))
    assert channel(graph.weights[layer], 0).any()
    with pytest.raises(
        UserError, match=rf"{layer.split('/')[0]}: in the channels \[0\] the kernel's scale is so small"
    ):
        convert(graph)
    silent, found = silence(graph)
    assert found == {layer.split("/")[0]: [0]}
    assert not channel(silent.weights[layer], 0).any()
    for index in (1, 2, 3):
        np.testing.assert_array_equal(channel(silent.weights[layer], index), channel(graph.weights[layer], index))
    content = convert(silent).content
    kernel, bias = next(o.inputs[1:] for o in operators(content) if len(o.inputs) == 3 and o.inputs[1].name == layer)
    assert np.abs(bias.data.astype(np.int64)).max() <= 2**30
    assert not np.take(kernel.data, 0, kernel.axis).any()
    images = pictures(8)
    expected = execute(graph, images, fake_quant=True)["probabilities"]
    assert np.abs(Model(content).outputs(images) - expected).max() <= graph.activation_scales["logits"].scale


def test_a_channel_that_int8_can_hold_is_never_silenced():
    for per_channel in (False, True):
        graph = quantised(small_graph(), per_channel)
        kept, found = silence(with_weight(graph, "conv_bn/gamma", np.array([1e-5, 1, -1, 0.5], np.float32)))
        assert found == {}
        np.testing.assert_array_equal(kept.weights["conv/kernel"], graph.weights["conv/kernel"])


def test_widths_without_kernels_and_unknown_operations_are_all_named():
    graph = quantised(small_graph(), True)
    wide = replace(
        graph,
        weight_scales={**graph.weight_scales, "conv/kernel": WeightScale(12, np.array([1], np.float32))},
        activation_scales={**graph.activation_scales, "pool": ActivationScale(12, 0.1)},
    )
    dynamic = replace(graph, activation_scales={**graph.activation_scales, "logits": ActivationScale(8, None)})
    with pytest.raises(UserError, match=r"logits \(its scale is computed for each picture"):
        lower(dynamic, "")
    with pytest.raises(UserError, match=r"conv_bn \(BatchNorm\).*conv/kernel \(12-bit.*pool \(12-bit"):
        lower(wide, "")


def test_a_quantised_layer_without_activation_scales_is_an_error_that_names_it():
    nodes = (
        Node("input", Input((4, 4, 2))),
        Node("conv", Conv2D((1, 1), "same"), ("input",)),
        Node("out", Softmax(), ("conv",)),
    )
    graph = Graph(
        nodes, ("out",), {"conv/kernel": np.ones((1, 1, 2, 3), np.int8)},
        weight_scales={"conv/kernel": WeightScale(8, np.array([1], np.float32))},
    )  # fmt: skip
    with pytest.raises(UserError, match="conv: its weights are int8 but its input or output has no scale"):
        convert(graph)


def test_a_graph_cut_at_an_inner_tensor_ends_there_in_float():
    graph = cut(quantised(small_graph(), True), None, ["dw_relu"])
    images = pictures()
    found = Model(convert(graph).content).outputs(images)
    expected = execute(graph, images, fake_quant=True)["dw_relu"]
    assert np.abs(found.reshape(expected.shape) - expected).max() <= 2.01 * graph.activation_scales["dw_relu"].scale


def test_a_graph_cut_to_begin_at_an_inner_tensor_takes_that_tensor_in_float():
    whole = quantised(small_graph(), True)
    tensors = execute(whole, pictures(), fake_quant=True)
    graph = cut(whole, ["dw_relu"], None)
    found = Model(convert(graph).content).outputs(tensors["dw_relu"].astype(np.float32))
    assert np.abs(found - tensors["probabilities"]).max() <= whole.activation_scales["logits"].scale


def test_a_file_that_is_no_model_is_one_message(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not a model at all")
    with pytest.raises(UserError, match=str(path)):
        Model(path)
    with pytest.raises(UserError, match="no_such"):
        Model(tmp_path / "no_such.tflite")
