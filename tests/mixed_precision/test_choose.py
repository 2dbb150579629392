"""Precisions chosen for a network of which it is known what each layer needs; refusals; the same after a kill."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from helpers.graphs import small_graph
from helpers.killed_renaming import KILLED
from helpers.numpy_network import execute
from helpers.places import ROOT
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.compress.run import _with_widths
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.base import resolved
from qatflow.data.manifest import Manifest
from qatflow.data.reader import calibration, tensors
from qatflow.graph.graph import Graph, Node
from qatflow.graph.layer_texts import exactly, is_named
from qatflow.graph.operations import Conv2D, Dense, Input, Relu, Reshape, Softmax
from qatflow.graph.store import write
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.assign import predicted, total_bytes
from qatflow.mixed_precision.choose import choose, choose_widths, choosing_settings
from qatflow.mixed_precision.latency import operators_of, quantised_model
from qatflow.mixed_precision.measured import Measured
from qatflow.mixed_precision.precision import Precision, as_settings
from qatflow.mixed_precision.record import ChosenWidths, read_widths, table
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.calibration import Histogram, calibrated_range
from qatflow.quantisation.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.quantisation.widths import kernel_bits
from qatflow.tflite.latency_table import LatencyTable
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model
from qatflow.tflite.single_operator import single_operators
from qatflow.trial.float_ranges import float_ranges

COARSE, FINE, LOGITS = 128, 64, 5120
"""Values of the kernels."""
PICTURES = 60
SCRIPT = ROOT / "workflow/scripts/choose_widths.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data", shards=2)


@pytest.fixture(scope="module")
def graph(data: Manifest) -> Graph:
    """A classifier of digits: `coarse` has weights −1, 0, 1; of `fine` one is 130 times as large as those that count.

    The large one belongs to a channel that is always 0. At 8 bits the others are one step, and below that nothing.
    """
    random = np.random.default_rng(3)
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("coarse", Conv2D((4, 4), "valid"), ("input",)),
        Node("relu", Relu(), ("coarse",)),
        Node("fine", Conv2D((1, 1), "valid"), ("relu",)),
        Node("flat", Reshape((512,)), ("fine",)),
        Node("logits", Dense(), ("flat",)),
        Node("out", Softmax(), ("logits",)),
    )
    coarse = random.integers(-1, 2, (4, 4, 1, 8)).astype(np.float32)
    coarse[..., 7] = 0
    fine = np.eye(8, dtype=np.float32)[None, None] / 130
    fine[0, 0, 7, 0] = 1
    weights: dict[str, np.ndarray] = {
        "coarse/kernel": coarse,
        "fine/kernel": fine,
        "logits/kernel": np.zeros((512, 10), np.float32),
    }
    images, labels = tensors(data, "train")
    graph = Graph(nodes, ("out",), weights)
    features = execute(graph, images)["flat"]
    ridge = features.T @ features + 1e-3 * np.trace(features.T @ features) / 512 * np.eye(512)
    solved = np.linalg.solve(ridge, features.T @ (np.eye(10)[labels] * 8))
    return replace(graph, weights={**weights, "logits/kernel": solved.astype(np.float32)})


def recipe(**auto: object) -> CompressConfig:
    strategy = {"class": "QuantizationStrategy", "auto_bits": auto, "float_model_save_path": "f"}
    return CompressConfig.model_validate(
        {"strategies": {"q": strategy}, "compressor": {"epoch": 1, "strategies": ["q"]}}
    )


def chosen(
    graph: Graph,
    data: Manifest,
    work: Path,
    processes: int = 1,
    table: LatencyTable | None = None,
    **auto: object,
) -> ChosenWidths:
    pictures = PreparedPictures.of(data, "validation", PICTURES, processes=processes)
    return choose_widths(graph, recipe(**auto), (), pictures, work, equal=False, table=table)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is measured, for all tests."""
    return tmp_path_factory.mktemp("work")


def bits(choice: ChosenWidths) -> dict[str, int]:
    return {layer.name: int(layer.bits) for layer in choice.layers}


def test_each_layer_gets_the_bits_that_it_needs(graph, data, work):
    for logits in (8, 6, 4):
        limit = COARSE * 2 // 8 + FINE + LOGITS * logits // 8
        choice = chosen(graph, data, work, max_bytes=limit, widths=[2, 4, 6, 8])
        assert bits(choice) == {"coarse": 2, "fine": 8, "logits": logits} and choice.widths == ("8", "6", "4", "2")
        (taken,) = (one for one in choice.curve if one.chosen)
        assert taken.bytes == limit and taken.bits == ("2", "8", str(logits))
    costs = {layer.name: layer.costs for layer in choice.layers}
    assert max(costs["coarse"]) < 1e-3 < 0.1 < min(costs["fine"][1:]) and costs["logits"][1] < costs["logits"][3]


def test_the_smallest_model_within_a_loss_is_taken_and_the_next_smaller_one_loses_more(graph, data, work):
    choice = chosen(graph, data, work, max_drop=2.0, widths=[2, 4, 6, 8])
    assert choice.float_top1 > 0.8 and bits(choice)["fine"] == 8 and bits(choice)["coarse"] == 2
    (taken,) = (one for one in choice.curve if one.chosen)
    assert taken.drop <= 0.02
    smaller = [one for one in choice.curve if one.bytes < taken.bytes]
    assert smaller and all(one.drop > 0.02 for one in smaller)
    assert [one.bytes for one in choice.curve] == sorted(one.bytes for one in choice.curve)
    assert "  chosen" in table(choice) and f"{taken.bytes:,}" in table(choice)


def test_the_costs_are_those_of_numpy_and_the_choice_is_the_best_of_all(graph, data, tmp_path):
    settings, pictures = QuantSettings.default(), PreparedPictures.of(data, "validation", PICTURES)
    section = recipe(max_bytes=1, widths=[8, 4, 3]).quantization.auto_bits
    measured = Measured.of(graph, convert(graph).content, settings, section, pictures, tmp_path)
    layers = measured.costs()
    images, _ = tensors(data, "validation", PICTURES)
    kernels = quantised_kernels(graph)
    ranges = float_ranges(graph, quantised_tensors(graph, kernels), calibration(data))
    real = execute(graph, images)["logits"]

    def divergence(width: int) -> float:
        quantised = as_if_quantised(graph, replace(settings, weight_bits={"logits": width}), ranges)
        logits = execute(quantised, images, fake_quant=True)["logits"]
        return float(rel_entr(softmax(real, 1), softmax(logits, 1)).sum(1).mean())

    by_entropy = replace(settings, calibration_method="entropy")
    forms = Measured.of(graph, convert(graph).content, by_entropy, section, pictures, tmp_path).forms
    values = Histogram.empty(ranges["relu"][1]).plus(execute(graph, calibration(data))["relu"])
    _, high = calibrated_range("entropy", values, ranges["relu"], 8, "from_zero")
    assert forms["coarse"][0].grid == (pytest.approx(high / 255), -128) and high < 0.98 * values.largest

    for place, width in ((1, 4), (2, 3)):
        assert layers[2].costs[place] == pytest.approx(divergence(width) - divergence(8), rel=0.05)
    every = list(product(range(3), repeat=3))
    for limit in (2100, 2600, 3000, 5200):
        choice = choose(measured, recipe(max_bytes=limit).quantization.auto_bits)
        least = min(predicted(layers, one) for one in every if total_bytes(layers, one) <= limit)
        assert predicted(layers, tuple(map((8, 4, 3).index, bits(choice).values()))) == pytest.approx(least)


BOTH = {"widths": [8, 4], "float_layers": True, "wide_activations": True}


def test_mixed_choices_are_measured_as_the_device_computes_them(graph, data, tmp_path):
    """Float and 16 bits, alone and side by side: against LiteRT's own model with the settings that training takes."""
    settings, pictures = QuantSettings.default(), PreparedPictures.of(data, "validation", PICTURES)
    section = recipe(max_bytes=1, **BOTH).quantization.auto_bits
    measured = Measured.of(graph, convert(graph).content, settings, section, pictures, tmp_path)
    assert [list(map(str, own)) for own in measured.precisions.values()] == [["8", "4", "8/16", "4/16", "float"]] * 3
    images, labels = tensors(data, "validation", PICTURES)
    ranges = float_ranges(graph, quantised_tensors(graph, quantised_kernels(graph)), calibration(data))
    real = execute(graph, images)["logits"]
    mixed = [
        {"coarse": "float", "fine": "8", "logits": "8"},
        {"coarse": "float", "fine": "float", "logits": "4"},
        {"coarse": "4", "fine": "8/16", "logits": "float"},
        {"coarse": "4/16", "fine": "float", "logits": "4/16"},
    ]
    given = [{name: Precision.of(text) for name, text in one.items()} for one in mixed]
    places = [tuple(measured.precisions[name].index(one) for name, one in each.items()) for each in given]
    figures, _ = measured.together(places)
    for each, (kl, drop) in zip(given, figures, strict=True):
        own = as_settings(measured.kernels, each, settings.skip_pattern)
        model = Model(convert(as_if_quantised(graph, replace(settings, **own), ranges)).content)
        outputs = np.concatenate([model.outputs(image[None]) for image in images])
        assert kl == pytest.approx(rel_entr(softmax(real, 1), outputs).sum(1).mean(), rel=0.1, abs=1e-5), each
        assert drop == pytest.approx((real.argmax(1) == labels).mean() - (outputs.argmax(1) == labels).mean()), each


def test_the_table_has_the_operators_of_every_choice():
    """Of a network with two branches that are added: operators depend on both."""
    given = recipe(max_latency=1, **BOTH)
    settings, section = choosing_settings(given, ()), given.quantization.auto_bits
    listed, graph = operators_of(small_graph(), settings, section), small_graph()
    kernels = quantised_kernels(graph)
    for texts in product(("8", "8/16", "float"), repeat=len(kernels)):
        model = quantised_model(graph, settings, kernels, dict(zip(kernels, map(Precision.of, texts), strict=True)))
        assert {one.key for one in single_operators(model)} <= set(listed), texts


def test_the_best_within_a_latency_by_the_latencies_of_all_operators(graph, data, tmp_path):
    given = recipe(max_latency=1, **BOTH)
    settings, section = choosing_settings(given, ()), given.quantization.auto_bits
    operators = operators_of(graph, settings, section)
    per = {"CONV_2D": 100, "FULLY_CONNECTED": 300, "QUANTIZE": 10, "DEQUANTIZE": 10}
    latencies = {
        key: per.get(json.loads(key)["operator"], 1) * (40 if "INT16" in key else 3 if "FLOAT32" in key else 1)
        for key in operators
    }
    table = LatencyTable("instructions", {"name": "board"}, 1, 7.0, latencies, (), {})
    least = chosen(graph, data, tmp_path, max_latency=1e6, table=table, **BOTH)
    assert least.widths == ("8", "8/16", "float") and [one.latency for one in least.curve] == sorted(
        one.latency for one in least.curve
    )
    limit = least.curve[0].latency + 2000
    choice = chosen(graph, data, tmp_path, max_latency=limit, table=table, **BOTH)
    (taken,) = (one for one in choice.curve if one.chosen)
    assert choice.latency_unit == "instructions" and taken.latency <= limit and taken.kl < choice.curve[0].kl
    kernels = {layer.name: layer.kernel for layer in choice.layers}
    for one in choice.curve:
        own = as_settings(kernels, dict(zip(kernels, map(Precision.of, one.bits), strict=True)), ())
        content = convert(as_if_quantised(graph, replace(settings, **own))).content
        assert one.latency == 7.0 + sum(latencies[each.key] for each in single_operators(content))
    with pytest.raises(UserError, match=r"max_latency: 5 instructions are too few: the fastest choice takes \d+"):
        chosen(graph, data, tmp_path, max_latency=5, table=table, **BOTH)


def test_what_cannot_be_is_refused_with_the_nearest_figure(graph, data, work):
    least = COARSE * 2 // 8 + FINE * 2 // 8 + LOGITS * 2 // 8
    with pytest.raises(
        UserError, match=rf"max_bytes: {least - 1:,} bytes .* with 2 bits .* take {least:,}; allow at least"
    ):
        chosen(graph, data, work, max_bytes=least - 1, widths=[2, 4, 6, 8])
    assert chosen(graph, data, work, max_bytes=least, widths=[2, 4, 6, 8]).layers[0].bits == "2"
    with pytest.raises(UserError, match=r"max_drop: before training, all widths lose more than 1 points .* is \d+\.\d"):
        chosen(graph, data, work / "few", max_drop=1.0, widths=[2, 4])


def test_a_killed_choice_goes_on_and_comes_to_the_same_bytes(graph, data, tmp_path):
    """kill -9 of choose_widths.py while it measures layers, and again while it measures the curve."""
    auto = {"max_drop": 3.0, "widths": [8, 4, 2], "float_layers": True, "pictures": 24}
    given = recipe(**auto)
    write(graph, tmp_path / "pretrained")

    def arguments(name: str) -> list[str]:
        options = {
            "recipe": json.dumps(resolved(given)), "pretrained": tmp_path / "pretrained", "work": tmp_path / name,
            "data": data.folder / "manifest.json", "output": tmp_path / f"of_{name}" / "widths.json",
        }  # fmt: skip
        return [str(SCRIPT), *(word for key, value in options.items() for word in (f"--{key}", str(value)))]

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True)

    one = run(*arguments("one"))
    assert one.returncode == 0, one.stderr
    for renaming in (4, 1 + 3 + 1 + 2):  # each begins with the description of its state; a part has four pictures
        killed = run("-c", KILLED, str(renaming), *arguments("two"))
        assert killed.returncode == -signal.SIGKILL and not (tmp_path / "of_two").exists()
    two = run(*arguments("two"), "--cores", "2")
    assert "6 of 6 parts are there" in two.stdout and "1 of 6 parts are there" in two.stdout, two.stdout + two.stderr
    assert (tmp_path / "of_two/widths.json").read_bytes() == (tmp_path / "of_one/widths.json").read_bytes()
    choice, strategy = (
        read_widths(tmp_path / "of_two/widths.json"),
        read_sealed(tmp_path / "of_two/widths.json")["strategy"],
    )
    taken = _with_widths(given, tmp_path / "of_two/widths.json").quantization
    assert (taken.weight_bits, taken.skip_pattern) == (strategy["weight_bits"], strategy["skip_pattern"])
    kernels = quantised_kernels(graph, skip=taken.skip_pattern)
    trained = {name: str(bits) for name, bits in kernel_bits(graph, kernels, taken.weight_bits).items()}
    assert trained == {layer.name: layer.bits for layer in choice.layers if layer.bits != "float"}
    with pytest.raises(UserError, match="there is no choice of widths"):
        _with_widths(given, None)


def test_a_layer_in_float_is_meant_by_its_whole_name():
    assert is_named("conv_pw_1", [exactly("conv_pw_1")]) and not is_named("conv_pw_12", [exactly("conv_pw_1")])
    assert is_named("conv_pw_12", ["conv_pw_1"])
    given = {"conv_pw_1": Precision.of("float"), "b": Precision.of("4/16"), "c": Precision.of("8")}
    assert as_settings({name: f"{name}/kernel" for name in given}, given, ["skip"]) == {
        "weight_bits": {"b/kernel$": 4, "c/kernel$": 8},
        "activation_bits": {"default": 8, "b$": 16},
        "skip_pattern": ["skip", "=conv_pw_1"],
    }
