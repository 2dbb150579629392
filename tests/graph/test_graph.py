"""The graph: names, cuts, and the folder that stores it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from qatflow.base.errors import UserError
from qatflow.graph.cut import cut
from qatflow.graph.graph import ActivationScale, Graph, WeightScale
from qatflow.graph.operations import Input
from qatflow.graph.store import load, save


def quantised() -> Graph:
    graph = small_graph()
    random = np.random.default_rng(3)
    scales = {
        "conv/kernel": WeightScale(8, np.array([0.01, 0.02, 0.03, 0.04], np.float32)),
        "dw/depthwise_kernel": WeightScale(8, np.array([0.5, 0.25, 0.125, 0.1], np.float32)),
        "logits/kernel": WeightScale(8, np.array([0.007], np.float32)),
    }
    integers = {name: random.integers(-127, 128, graph.weights[name].shape).astype(np.int8) for name in scales}
    return replace(
        graph,
        weights={**graph.weights, **integers},
        weight_scales=scales,
        activation_scales={"input": ActivationScale(8, float(np.float32(0.1)))},
    )


def test_real_weights_are_integers_times_the_scale_of_their_channel():
    graph = quantised()
    kernel = graph.weights["dw/depthwise_kernel"]
    for channel, scale in enumerate([0.5, 0.25, 0.125, 0.1]):
        expected = kernel[:, :, channel, 0].astype(np.float32) * np.float32(scale)
        np.testing.assert_array_equal(graph.real_weight("dw/depthwise_kernel")[:, :, channel, 0], expected)


def test_aliases_of_the_page_name_input_and_output():
    graph = small_graph()
    assert graph.node("image").name == "input"
    assert graph.node("fc_0.tmp_2").name == "probabilities"


def test_unknown_node_names_the_nearest():
    with pytest.raises(UserError, match=r"no node 'conv_rel'.*conv_relu"):
        cut(small_graph(), ["image"], ["conv_rel"])


def test_cut_ends_at_an_inner_layer_and_drops_what_is_behind():
    graph = cut(small_graph(), ["image"], ["dw_relu"])
    assert graph.outputs == ("dw_relu",)
    assert [node.name for node in graph.nodes] == [
        "input", "conv", "conv_bn", "conv_relu", "pad", "dw", "dw_bn", "dw_relu",
    ]  # fmt: skip
    assert "logits/kernel" not in graph.weights
    assert "fc_0.tmp_2" not in graph.aliases


def test_cut_begins_at_an_inner_tensor_and_computes_the_rest_from_it():
    whole = small_graph()
    graph = cut(whole, ["dw_relu"], None)
    assert [node.name for node in graph.nodes][:3] == ["dw_relu", "left", "left_bn"]
    assert graph.node("dw_relu").operation == Input((4, 4, 4))
    assert not any(name.startswith(("conv", "dw")) for name in graph.weights)
    tensors = execute(whole, pictures())
    np.testing.assert_array_equal(execute(graph, tensors["dw_relu"])["probabilities"], tensors["probabilities"])
    middle = cut(quantised(), ["dw"], ["pool"])
    assert "dw/depthwise_kernel" not in middle.weights and "dw/depthwise_kernel" not in middle.weight_scales


def test_cut_refuses_inputs_that_do_not_lead_to_the_outputs_and_ones_left_out():
    with pytest.raises(UserError, match="'sum' does not lead to the outputs"):
        cut(small_graph(), ["image", "sum"], ["dw_relu"])
    with pytest.raises(UserError, match="need the input 'input' too"):
        cut(small_graph(), [], None)
    with pytest.raises(UserError, match="need the input 'input' too"):
        cut(small_graph(), ["left_bn"], None)


def test_cut_refuses_to_end_within_what_the_device_computes_as_one():
    scales = {name: ActivationScale(8, 0.1) for name in ("input", "conv_relu", "dw_relu")}
    graph = replace(quantised(), activation_scales=scales)
    for name in ("dw", "dw_bn"):
        with pytest.raises(UserError, match=f"'{name}' has no scale.*name 'dw_relu'"):
            cut(graph, None, [name])
    assert cut(graph, None, ["dw_relu"]).outputs == ("dw_relu",)
    # of a layer left in float, any tensor will do
    assert cut(graph, None, ["left_bn"]).outputs == ("left_bn",)


@pytest.mark.parametrize("integers", ["integer", "float"])
def test_a_stored_graph_comes_back_as_it_was(tmp_path: Path, integers):
    graph = quantised()
    save(graph, tmp_path / "model", integers)
    again = load(tmp_path / "model")
    assert (again.nodes, again.outputs, again.aliases) == (graph.nodes, graph.outputs, graph.aliases)
    assert again.activation_scales == graph.activation_scales
    for name, values in graph.weights.items():
        assert again.weights[name].dtype == values.dtype
        np.testing.assert_array_equal(again.weights[name], values)
    for name, scale in graph.weight_scales.items():
        np.testing.assert_array_equal(again.weight_scales[name].scale, scale.scale)


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path):
    for name in ("first", "second"):
        save(quantised(), tmp_path / name)
    for file in ("model", "weights"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize("damage", ["cut", "other", "gone", "not json"])
def test_a_damaged_folder_is_one_message(tmp_path: Path, damage):
    folder = tmp_path / "model"
    save(quantised(), folder)
    if damage == "cut":
        (folder / "weights").write_bytes((folder / "weights").read_bytes()[:-100])
    elif damage == "other":
        (folder / "model").write_text('{"format": "something else"}')
    elif damage == "not json":
        (folder / "model").write_text("nodes: []")
    else:
        (folder / "weights").unlink()
    with pytest.raises(UserError, match=str(folder)):
        load(folder)
