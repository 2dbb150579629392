"""The way to the device tried before training, and models held to the device's rules before they are called done."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from helpers.graphs import NORM, pictures, small_graph, with_weight
from helpers.numpy_network import execute
from helpers.numpy_quantised import quantised
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.compress.run import compress
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.compress import CompressSection
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.operations import Conv2D, Dense, Elu, GlobalAveragePool, Input, Softmax
from qatflow.graph.silent_channels import silence
from qatflow.graph.store import save
from qatflow.optimize.optimize import optimize
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.builder import ModelBuilder
from qatflow.tflite.check import check_model
from qatflow.tflite.device_rules import broken_rules
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.trial.int8_model import lower_on_trial
from qatflow.trial.start import try_lowering

SETTINGS = QuantSettings(8, 8, "abs_max", "moving_average_abs_max")


def for_digits(*behind: Node, last: str = "conv") -> Graph:
    """A network for the digits: a convolution, some nodes, a classifier."""
    random = np.random.default_rng(0)
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("conv", Conv2D((2, 2), "same"), ("input",)),
        *behind,
        Node("pool", GlobalAveragePool(False), (last,)),
        Node("logits", Dense(), ("pool",)),
        Node("probabilities", Softmax(), ("logits",)),
    )
    weights = {
        "conv/kernel": random.normal(0, 0.5, (3, 3, 1, 4)).astype(np.float32),
        "logits/kernel": random.normal(0, 0.5, (4, 10)).astype(np.float32),
        **{f"norm/{role}": np.ones(4, np.float32) for role in ("gamma", "beta", "moving_mean", "moving_variance")},
    }
    graph = Graph(nodes, ("probabilities",), weights)
    return graph.with_nodes(nodes)


NOT_LOWERED = for_digits(Node("elu", Elu(), ("conv",)), Node("norm", NORM, ("elu",)), last="norm")
"""Batch-norm behind what it cannot be folded into: no kernel computes it."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data").folder / "manifest.json"


@pytest.mark.parametrize("activations", ["moving_average_abs_max", "moving_average_min_max"])
def test_the_trial_has_the_scales_of_the_pictures(activations: str):
    images = pictures(8)
    content = lower_on_trial(small_graph(), replace(SETTINGS, activation_quantize_type=activations), images)
    tensors = execute(small_graph(), images)
    made = {o.outputs[0].name: o.outputs[0] for o in operators(content)}
    for name, node in {"conv": "conv_relu", "left": "left_bn", "sum": "sum_relu", "pool": "pool"}.items():
        low, high = min(tensors[node].min(), 0), max(tensors[node].max(), 0)
        symmetric = activations == "moving_average_abs_max" and node == "left_bn"
        expected = max(-low, high) / 127 if symmetric else (high - low) / 255
        np.testing.assert_allclose(made[name].scale, expected, rtol=1e-4, err_msg=name)
        assert made[name].zero_point[0] == (0 if symmetric else round(-low / expected) - 128), name


def test_the_trial_ends_where_what_is_exported_ends():
    content = lower_on_trial(small_graph(), SETTINGS, pictures(2), ["conv_relu"], ["dw_relu"])
    found = operators(content)
    assert [o.name for o in found] == ["QUANTIZE", "DEPTHWISE_CONV_2D", "DEQUANTIZE"]
    assert found[0].inputs[0].shape == (1, 8, 8, 4) and found[-1].outputs[0].shape == (1, 4, 4, 4)


def test_values_that_are_no_numbers_are_named_by_the_layer():
    graph = with_weight(small_graph(), "left/bias", np.float32([0, np.inf, 0, 0]))
    with pytest.raises(UserError, match="left_bn computes values that are not finite numbers"):
        lower_on_trial(graph, SETTINGS, pictures(2))


def test_a_network_that_runs_is_said_to(digits: Path, capsys):
    try_lowering(for_digits(), asdict(SETTINGS), digits)
    assert capsys.readouterr().out == "tried before training: the int8 model of this network loads and runs\n"


def test_a_training_whose_model_no_device_could_run_does_not_begin(digits: Path, tmp_path: Path):
    save(NOT_LOWERED, tmp_path / "pretrained")
    strategy = {"class": "QuantizationStrategy", "float_model_save_path": "out", "weight_bits": 8}
    recipe = CompressConfig.model_validate(
        {"strategies": {"q": strategy}, "compressor": {"epoch": 1, "strategies": ["q"]}}
    )
    folders = tmp_path / "work", tmp_path / "out"
    with pytest.raises(UserError, match=r"before training, the path to the device was tried.*norm \(BatchNorm\)"):
        compress(tmp_path / "pretrained", digits, recipe, CompressSection(), *folders, 1, 1, ["elu"])
    assert not (tmp_path / "work").exists() and not (tmp_path / "out").exists()


def test_pictures_that_are_not_there_are_one_message(digits: Path, tmp_path: Path):
    with pytest.raises(
        UserError, match=r"the trial crashed \(status 1\): .*FileNotFoundError.*no_data|no_data"
    ) as caught:
        try_lowering(for_digits(), {"skip_pattern": []}, tmp_path / "no_data" / "manifest.json")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["dw_relu", "sum_relu"])
def test_optimize_writes_nothing_that_the_device_could_not_run(name: str, tmp_path: Path):
    graph = quantised(small_graph(), True)
    save(graph, tmp_path / "exported", "float")
    optimize(tmp_path / "exported/model", tmp_path / "exported/weights", None, tmp_path / "opt")
    assert (tmp_path / "opt/model.tflite").is_file()
    least = ActivationScale(8, float(np.float32(1e-9)))
    broken, _ = silence(replace(graph, activation_scales={**graph.activation_scales, name: least}))
    save(broken, tmp_path / "broken", "float")
    with pytest.raises(UserError, match=f"the scale of {name.split('_')[0]} is too small for any int8 kernel"):
        optimize(tmp_path / "broken/model", tmp_path / "broken/weights", None, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_outputs_that_are_no_numbers_are_named_by_the_first_layer_that_makes_them():
    graph = with_weight(small_graph(), "left/bias", np.full(4, 3e38, np.float32))
    graph = with_weight(graph, "left_bn/gamma", np.full(4, 9, np.float32))
    converted = convert(graph)
    with pytest.raises(UserError, match=r"LiteRT cannot run the model from left on: .*model.keep_in_float"):
        check_model(converted.content, converted.graph)


def test_what_the_device_refuses_is_refused_on_the_host():
    builder = ModelBuilder()
    given = builder.tensor("pictures", (1, 4), np.float32)
    builder.tensor("deep", (1,) * 9, np.float32)
    builder.tensor("large", (1, 9000, 9000), np.float32)
    builder.tensor("denormal", (1, 4), np.int8, np.float32([1e-40]))
    builder.tensor("beside", (1, 4), np.int8, np.float32([1]), zero_point=200)
    found = broken_rules(builder.pack([("pictures", given)], [("pictures", given)], "a test"))
    expected = ["deep has 9 dim", "large has more than 2^26", "denormal has a scale", "beside has a zero point",
                "no operator computes its output pictures"]  # fmt: skip
    assert [line for line in found if any(line.startswith(part) for part in expected)] == found
    assert len(found) == len(expected)
    two = ModelBuilder()
    inputs = [two.tensor(name, (1, 4), np.float32) for name in ("a", "b")]
    made = two.tensor("sum", (1, 4), np.float32)
    two.operator("ADD", inputs, [made], schema.AddOptionsT())
    content = two.pack([("a", inputs[0]), ("b", inputs[1])], [("sum", made)], "a test")
    assert broken_rules(content) == ["it has 2 inputs, but the device takes one"]
    assert broken_rules(convert(small_graph()).content) == []
