"""The graph: names, cuts, and the folder that stores it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphs import small_graph
from qatflow.errors import UserError
from qatflow.graph.graph import ActivationScale, Graph, WeightScale
from qatflow.graph.store import load, save


def quantised() -> Graph:
    graph = small_graph()
    random = np.random.default_rng(3)
    scales = {
        "conv/kernel": WeightScale(8, np.float32([0.01, 0.02, 0.03, 0.04])),
        "dw/depthwise_kernel": WeightScale(8, np.float32([0.5, 0.25, 0.125, 0.1])),
        "logits/kernel": WeightScale(8, np.float32([0.007])),
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
        small_graph().cut(["image"], ["conv_rel"])


def test_cut_ends_at_an_inner_layer_and_drops_what_is_behind():
    graph = small_graph().cut(["image"], ["dw_relu"])
    assert graph.outputs == ("dw_relu",)
    assert [node.name for node in graph.nodes] == [
        "input", "conv", "conv_bn", "conv_relu", "pad", "dw", "dw_bn", "dw_relu",
    ]  # fmt: skip
    assert "logits/kernel" not in graph.weights
    assert "fc_0.tmp_2" not in graph.aliases


def test_cut_refuses_an_input_that_is_none_and_one_left_out():
    with pytest.raises(UserError, match="'conv' is not an input"):
        small_graph().cut(["image", "conv"], None)
    with pytest.raises(UserError, match="need the input 'input' too"):
        small_graph().cut([], None)


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
