"""What each layer's quantisation costs, against NumPy; the same bytes whatever the processes and interruptions."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from helpers.graphs import pictures, small_graph
from helpers.killed_renaming import KILLED
from helpers.numpy_network import execute
from helpers.numpy_quantised import quantised
from helpers.places import ROOT
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.data.manifest import Manifest
from qatflow.data.reader import tensors
from qatflow.graph.graph import Graph
from qatflow.graph.operations import Input
from qatflow.graph.passes import run_all
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.sensitivity.forms import layer_forms
from qatflow.sensitivity.measure import comparing, read_sensitivities
from qatflow.sensitivity.outputs import divergence, end_of
from qatflow.tflite.lower import convert
from qatflow.tflite.read import operators
from qatflow.trial.float_ranges import float_ranges

SCRIPT = ROOT / "workflow/scripts/inspect_layers.py"
LAYERS = ["input", "conv", "dw", "left", "sum", "pool", "logits"]


def mixed(names: list[str], graph: Graph) -> Graph:
    """The float graph after the passes, with these layers as the quantised graph has them."""
    real, rounded = run_all(small_graph())[0], run_all(graph)[0]
    kernels = [kernel for kernel in rounded.weight_scales if kernel.split("/")[0] in names]
    weights = {kernel: rounded.real_weight(kernel) for kernel in kernels}
    scales = {name: rounded.activation_scales[name] for name in names}
    return replace(real, weights={**real.weights, **weights}, activation_scales=scales)


def test_each_layer_alone_and_all_but_it_diverge_as_in_numpy():
    graph, images = quantised(small_graph(), per_channel=True), pictures(24)
    float_model, int8_model = convert(small_graph()).content, convert(graph).content
    forms = layer_forms(float_model, int8_model)
    assert [form.name for form in forms] == LAYERS and not any(form.trained for form in forms)
    kept = [[name] for name in LAYERS] + [LAYERS] + [[n for n in LAYERS if n != name] for name in LAYERS]
    of_picture = comparing(
        float_model, {form.name: [form.form] for form in forms}, [dict.fromkeys(names, 0) for names in kept]
    )()
    labels = np.arange(24) % 3
    measured = [of_picture(picture, int(label)) for picture, label in zip(images, labels, strict=True)]
    real = execute(run_all(small_graph())[0], images)["logits"]
    assert [row[0] for row in measured] == (real.argmax(1) == labels).tolist()
    for place, names in enumerate(kept, 1):
        logits = execute(mixed(names, graph), images, fake_quant=True)["logits"]
        expected = rel_entr(softmax(real, 1), softmax(logits, 1)).sum(1)
        # a value on the border of two integers may fall on either side
        assert np.mean([row[place][0] for row in measured]) == pytest.approx(expected.mean(), rel=0.1), names
        assert [row[place][1] for row in measured] == (logits.argmax(1) == labels).tolist(), names


def test_of_activations_of_8_and_16_bits_each_layer_has_its_kernel_and_its_own_grid():
    """A layer of 8 bits that reads 16 computes in int16 and is rounded by a QUANTIZE, which has no kernel."""
    settings = QuantSettings(8, {"default": 8, "dw": 16}, "abs_max", "moving_average_abs_max")
    tensors = quantised_tensors(small_graph(), quantised_kernels(small_graph()))
    ranges = float_ranges(small_graph(), tensors, pictures(4))
    graph = as_if_quantised(small_graph(), settings, ranges)
    forms = {form.name: form for form in layer_forms(convert(small_graph()).content, convert(graph).content)}
    assert list(forms) == LAYERS
    assert {name: form.form.dtype for name, form in forms.items() if form.form.dtype != "INT8"} == {"dw": "INT16"}
    for name in ("conv", "dw", "left", "logits"):
        assert 1 in forms[name].form.weights, name
    for name, tensor in (("left", "left_bn"), ("sum", "sum_relu"), ("dw", "dw_relu")):
        scale = graph.activation_scales[tensor]
        assert forms[name].form.grid == (pytest.approx(scale.scale), scale.zero_point)


def test_the_divergence_is_that_of_the_formula():
    random = np.random.default_rng(0)
    p, q = random.normal(0, 20, (2, 10))
    exact = (softmax(p) * (log_softmax(p) - log_softmax(q))).sum()
    assert divergence(p, q, independent=False) == pytest.approx(exact)
    assert divergence(p + 300, q - 5, independent=False) == pytest.approx(exact), "as the softmax does"
    a, b = 1 / (1 + np.exp(-p)), 1 / (1 + np.exp(-q))
    bernoulli = (rel_entr(a, b) + rel_entr(1 - a, 1 - b)).sum()
    assert divergence(p, q, independent=True) == pytest.approx(bernoulli, rel=1e-6)
    assert divergence(p, p, independent=True) == divergence(p, p, independent=False) == 0


def test_the_end_is_found_behind_reshapes_and_without_an_activation():
    content = convert(small_graph()).content
    assert end_of(content).logits == "logits" and not end_of(content).independent
    graph = small_graph()
    bare = replace(graph, nodes=graph.nodes[:-1], outputs=("logits",), aliases={})
    assert end_of(convert(bare).content).logits == "logits"


def test_a_trained_kernel_is_not_put_among_float_ones():
    graph = quantised(small_graph(), per_channel=True)
    real = small_graph()
    moved = {**real.weights, "left/kernel": real.weights["left/kernel"] * 0.5 + 0.2}
    float_model, int8_model = convert(replace(real, weights=moved)).content, convert(graph).content
    forms = {form.name: form for form in layer_forms(float_model, int8_model)}
    assert [name for name, form in forms.items() if form.trained] == ["left"]
    (kernel,) = (one.kernel for one in operators(float_model) if one.outputs[0].name == "left")
    scale = np.abs(kernel.data).max(axis=(1, 2, 3), keepdims=True) / 127
    assert np.allclose(forms["left"].form.weights[1], np.rint(kernel.data / scale) * scale, atol=1e-6)
    assert list(forms["left"].form.weights) == [1], "the bias is float's"


def test_models_of_different_networks_are_refused():
    content = convert(quantised(small_graph(), per_channel=True)).content
    nodes = tuple(replace(n, name=f"x_{n.name}", inputs=tuple(f"x_{i}" for i in n.inputs)) for n in small_graph().nodes)
    other = Graph(nodes, ("x_probabilities",), {f"x_{name}": v for name, v in small_graph().weights.items()})
    with pytest.raises(UserError, match="share no tensor"):
        layer_forms(convert(other).content, content)


# On prepared pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data", shards=2)


@pytest.fixture(scope="module")
def models(data: Manifest) -> tuple[bytes, bytes]:
    graph = small_graph(size=32)
    random = np.random.default_rng(5)
    nodes = (replace(graph.nodes[0], operation=Input((32, 32, 1))), *graph.nodes[1:])
    changed = {"conv/kernel": (3, 3, 1, 4), "logits/kernel": (4, 10), "logits/bias": (10,)}
    weights = {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in changed.items()}
    graph = replace(graph, nodes=nodes, weights={**graph.weights, **weights})
    kernels = quantised_kernels(graph)
    images, _ = tensors(data, "validation", 8)
    ranges = float_ranges(graph, quantised_tensors(graph, kernels), images)
    settings = replace(QuantSettings.default(), weight_bits=4)
    return convert(graph).content, convert(as_if_quantised(graph, settings, ranges)).content


def test_a_killed_measurement_goes_on_to_the_same_bytes_and_processes_change_nothing(data, models, tmp_path):
    """kill -9 of inspect_layers.py in the middle of the sensitivities."""
    for name, content in zip(("float", "int8"), models, strict=True):
        (tmp_path / f"{name}.tflite").write_bytes(content)

    def arguments(name: str) -> list[str]:
        options = {
            "float": tmp_path / "float.tflite", "int8": tmp_path / "int8.tflite", "pictures": 4,
            "data": data.folder / "manifest.json", "inspect": json.dumps({"sensitivity_pictures": 22}),
            "work": tmp_path / name, "output": tmp_path / f"of_{name}" / "layers.json",
        }  # fmt: skip
        return [str(SCRIPT), *(word for key, value in options.items() for word in (f"--{key}", str(value)))]

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True)

    one = run(*arguments("one"))
    assert one.returncode == 0, one.stderr
    assert run("-c", KILLED, "4", *arguments("two")).returncode == -signal.SIGKILL  # the third part of four pictures
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "two").rglob("row_*.json")}
    assert len(before) == 2 and not (tmp_path / "of_two").exists()
    two = run(*arguments("two"), "--cores", "3")
    assert {file: file.stat().st_mtime_ns for file in before} == before, "what is done is not measured again"
    assert "2 of 6 parts are there" in two.stdout, two.stdout + two.stderr
    assert (tmp_path / "of_two/layers.json").read_bytes() == (tmp_path / "of_one/layers.json").read_bytes()
    measured = read_sensitivities(read_sealed(tmp_path / "of_one/layers.json")["sensitivities"])
    assert measured is not None and measured.pictures == 22 and [layer.name for layer in measured.layers] == LAYERS
    assert measured.kl > max(0.0, min(layer.alone_kl for layer in measured.layers))
    assert measured.worst_first[0].alone_kl == max(layer.alone_kl for layer in measured.layers)
