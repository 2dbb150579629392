"""Quantisation of our own graph after training: samples against NumPy, corrections, and the file's own integers."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.graphs import pictures, small_graph
from helpers.numpy_network import execute
from helpers.places import ROOT
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.config.sections.ptq import PtqSection
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Dense, GlobalAveragePool, Input, Relu
from qatflow.graph.passes import run_all
from qatflow.graph.store import write
from qatflow.ptq.graph import corrected, matched, quantise_graph, reestimated
from qatflow.ptq.samples import Layer, as_kernel, as_matrix, sample
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.read import WEIGHTED, operators
from qatflow.tflite.run import Model
from qatflow.trial.pictures import PicturesInMemory

IMAGES = pictures(12)
SETTINGS = QuantSettings(4, 8, "channel_wise_abs_max", "moving_average_abs_max")
LAYERS = ("conv", "dw", "left", "logits")


def quantised(settings: QuantSettings = SETTINGS, seed: int = 1, **own: object) -> Graph:
    section = PtqSection(tool="qatflow", **own)  # type: ignore[arg-type]
    return quantise_graph(small_graph(), settings, section, PicturesInMemory(IMAGES), seed, log=lambda line: None)


@pytest.fixture(scope="module")
def nearest() -> Graph:
    return quantised()


@pytest.mark.parametrize("name", LAYERS)
def test_the_samples_of_a_layer_are_its_inputs_in_int8_and_its_outputs_in_float(nearest: Graph, name: str):
    graph = small_graph()
    layer = Layer.of(graph, graph.node(name))
    samples = sample(graph, nearest, layer, PicturesInMemory(IMAGES), 0)
    tensors = execute(graph, IMAGES)
    wanted = tensors[(layer.norm or layer.node).name].reshape(-1, graph.kernel_channels(layer.node))
    found = samples.targets.transpose(1, 0, 2).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    # the product with the float kernel is the float output but for the rounding of the inputs
    out = samples.inputs @ (samples.kernel * samples.gain) + samples.offset
    assert np.abs(out - samples.targets).max() < 0.1 * np.abs(samples.targets).max()
    kernel = graph.weights[layer.node.kernel or ""]
    np.testing.assert_array_equal(as_kernel(as_matrix(layer.node, kernel), kernel.shape), kernel)
    assert layer.clip == {"conv": "relu6", "dw": "relu6", "left": None, "logits": None}[name]
    scale = nearest.activation_scale(layer.node.inputs[0])
    assert scale is not None and scale.scale is not None
    steps = samples.inputs / scale.scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-2)


@pytest.mark.parametrize("name", LAYERS)
def test_after_the_corrections_the_mean_error_of_each_channel_is_zero(nearest: Graph, name: str):
    graph = small_graph()
    layer = Layer.of(graph, graph.node(name))
    samples = sample(graph, nearest, layer, PicturesInMemory(IMAGES), 0)
    integers = as_matrix(layer.node, nearest.weights[layer.node.kernel or ""]).astype(np.float32)
    weight, bias = corrected(nearest, layer, samples, integers)
    better = replace(nearest, weights={**nearest.weights, weight: bias})
    after = samples.followed_by(*layer.gain_and_offset(better))
    errors = [(s.outputs(integers) - s.targets).mean(axis=1) for s in (samples, after)]
    assert np.abs(errors[1]).max() < 1e-5 * np.abs(samples.targets).max() < np.abs(errors[0]).max()
    if layer.norm is not None:
        weights = {**nearest.weights, **reestimated(nearest, layer, samples, integers)}
        again = samples.followed_by(*layer.gain_and_offset(replace(nearest, weights=weights))).outputs(integers)
        gamma, beta = (nearest.weights[layer.norm.weight(role)] for role in ("gamma", "beta"))
        np.testing.assert_allclose(again.mean(axis=1).ravel(), beta, atol=1e-3)
        variance = weights[layer.norm.weight("moving_variance")]
        wanted = np.abs(gamma) * np.sqrt(variance / (variance + 1e-3))
        np.testing.assert_allclose(again.std(axis=1).ravel(), wanted, rtol=1e-3)
        weights = {**nearest.weights, **matched(nearest, layer, samples, integers)}
        again = samples.followed_by(*layer.gain_and_offset(replace(nearest, weights=weights))).outputs(integers)
        for moment in (np.mean, np.std):
            np.testing.assert_allclose(moment(again, axis=1), moment(samples.targets, axis=1), rtol=1e-3, atol=1e-4)


def float_error(graph: Graph) -> float:
    wanted = execute(small_graph(), IMAGES)["logits"]
    return float(((execute(graph.in_real_values(), IMAGES)["logits"] - wanted) ** 2).mean())


def test_adaround_moves_integers_by_one_at_most_is_repeatable_and_better_than_the_nearest(nearest: Graph):
    trained = quantised(rounding="adaround", rounding_steps=200)
    for name in ("dw/depthwise_kernel", "left/kernel"):
        steps = trained.weights[name].astype(int) - nearest.weights[name]
        assert set(np.unique(np.abs(steps))) == {0, 1}
        np.testing.assert_array_equal(trained.weight_scales[name].scale, nearest.weight_scales[name].scale)
    assert float_error(trained) < float_error(nearest)
    again = quantised(rounding="adaround", rounding_steps=200)
    assert all((again.weights[name] == values).all() for name, values in trained.weights.items())


def test_the_file_has_the_graphs_integers():
    graph = quantised(
        replace(SETTINGS, weight_bits={"default": 3, "dw": 5}), rounding="adaround", rounding_steps=30,
        bias_correction=True, weight_range="mse", batch_norm="reestimate",
    )  # fmt: skip
    assert {name.split("/")[0]: scale.bits for name, scale in graph.weight_scales.items()} == {
        "conv": 8, "dw": 5, "left": 3, "logits": 8,
    }  # fmt: skip
    folded, _ = run_all(graph)
    kernels = {o.outputs[0].name: o.inputs[1] for o in operators(convert(graph).content) if o.name in WEIGHTED}
    for node in folded.nodes:
        if node.kernel in folded.weight_scales:
            found, wanted = kernels[node.name], folded.weights[node.kernel]
            assert sorted(found.data.ravel()) == sorted(wanted.ravel())
    assert np.isfinite(Model(convert(graph).content).outputs(IMAGES)).all()


def test_what_would_have_no_effect_is_refused():
    with pytest.raises(UserError, match="equalize_layers: the network has no two layers without batch-norm"):
        quantised(equalize_layers=True)


def test_killed_in_the_middle_it_is_made_again_with_the_same_bytes(tmp_path: Path):
    """Killed between two layers; and with another number of processes."""
    random = np.random.default_rng(0)
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("conv", Conv2D((4, 4), "same"), ("input",)),
        Node("relu", Relu(), ("conv",)),
        Node("pool", GlobalAveragePool(keepdims=False), ("relu",)),
        Node("logits", Dense(), ("pool",)),
    )
    weights = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in (
        ("conv/kernel", (3, 3, 1, 8)), ("logits/kernel", (8, 10)), ("logits/bias", (10,)),
    )}  # fmt: skip
    write(Graph(nodes, ("logits",), weights), tmp_path / "pretrained")
    data = prepared_digits(tmp_path / "data").folder / "manifest.json"

    def arguments(name: str, cores: int) -> list[str]:
        section = '{"tool": "qatflow", "rounding": "adaround", "rounding_steps": 200, "bias_correction": true}'
        return [
            *("--pretrained", str(tmp_path / "pretrained"), "--data", str(data), "--seed", "3", "--ptq", section),
            *("--quantization", '{"class": "QuantizationStrategy", "weight_bits": 4}', "--model", "{}"),
            *("--cores", str(cores), "--output", str(tmp_path / name)),
        ]

    script, alone = str(ROOT / "workflow/scripts/ptq_graph.py"), os.environ | {"OPENBLAS_NUM_THREADS": "1"}

    def run_again(*words: str) -> int:
        ran = subprocess.run([sys.executable, *words], env=alone, capture_output=True, timeout=60, check=False)
        return ran.returncode

    assert run_again(script, *arguments("whole", 1)) == 0
    command = [script, *arguments("killed", 2)]
    with subprocess.Popen([sys.executable, *command], env=alone, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any(line.startswith("conv: squared error") for line in run.stdout), "the first of two layers is done"
        run.kill()
    assert run.returncode == -signal.SIGKILL and not (tmp_path / "killed").exists()
    assert run_again(*command) == 0
    found, wanted = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("killed", "whole")
    )
    assert found == wanted and set(found) == {"model", "weights", "manifest.json"}
