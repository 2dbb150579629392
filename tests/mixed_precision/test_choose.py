"""Widths chosen for a network in which it is known what each layer needs; refusals; the same choice after a kill."""

import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from helpers.numpy_network import execute
from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.base.sums import read_sealed
from qatflow.compress.run import _with_widths
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.data.manifest import Manifest
from qatflow.data.reader import calibration, tensors
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Dense, Input, Relu, Reshape, Softmax
from qatflow.inference.pictures import PreparedPictures
from qatflow.mixed_precision.assign import predicted, total_bytes
from qatflow.mixed_precision.choose import Measured, choose, choose_widths, write_widths
from qatflow.mixed_precision.record import ChosenWidths, read_widths, table
from qatflow.quantise.as_if_quantised import as_if_quantised
from qatflow.quantise.placement import QuantSettings, quantised_kernels, quantised_tensors
from qatflow.quantise.widths import kernel_bits
from qatflow.sensitivity import pictures as module
from qatflow.trial.float_ranges import float_ranges

COARSE, FINE, LOGITS = 128, 64, 5120
"""Values of the kernels."""
PICTURES = 60


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


def chosen(graph: Graph, data: Manifest, work: Path, processes: int = 1, **auto: object) -> ChosenWidths:
    pictures = PreparedPictures.of(data, "validation", PICTURES, processes=processes)
    return choose_widths(graph, recipe(**auto), (), pictures, work, equal=False)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is measured, for all tests."""
    return tmp_path_factory.mktemp("work")


def bits(choice: ChosenWidths) -> dict[str, int]:
    return {layer.name: layer.bits for layer in choice.layers}


def test_each_layer_gets_the_bits_that_it_needs(graph, data, work):
    for logits in (8, 6, 4):
        limit = COARSE * 2 // 8 + FINE + LOGITS * logits // 8
        choice = chosen(graph, data, work, max_bytes=limit, widths=[2, 4, 6, 8])
        assert bits(choice) == {"coarse": 2, "fine": 8, "logits": logits} and choice.widths == (8, 6, 4, 2)
        (taken,) = (one for one in choice.curve if one.chosen)
        assert taken.bytes == limit and taken.bits == (2, 8, logits)
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
    measured = Measured.of(graph, settings, [8, 4, 3], pictures, tmp_path)
    layers = measured.costs()
    images, _ = tensors(data, "validation", PICTURES)
    kernels = quantised_kernels(graph)
    ranges = float_ranges(graph, quantised_tensors(graph, kernels), calibration(data))
    real = execute(graph, images)["logits"]

    def divergence(width: int) -> float:
        quantised = as_if_quantised(graph, replace(settings, weight_bits={"logits": width}), ranges)
        logits = execute(quantised, images, fake_quant=True)["logits"]
        return float(rel_entr(softmax(real, 1), softmax(logits, 1)).sum(1).mean())

    for place, width in ((1, 4), (2, 3)):
        assert layers[2].costs[place] == pytest.approx(divergence(width) - divergence(8), rel=0.05)
    every = list(product((8, 4, 3), repeat=3))
    for limit in (2100, 2600, 3000, 5200):
        choice = choose(measured, recipe(max_bytes=limit).quantization.auto_bits)
        least = min(predicted(layers, (8, 4, 3), one) for one in every if total_bytes(layers, one) <= limit)
        assert predicted(layers, (8, 4, 3), tuple(bits(choice).values())) == pytest.approx(least)


def test_what_cannot_be_is_refused_with_the_nearest_figure(graph, data, work):
    least = COARSE * 2 // 8 + FINE * 2 // 8 + LOGITS * 2 // 8
    with pytest.raises(UserError, match=rf"max_bytes: {least - 1:,} bytes .* with 2 bits .* have {least:,}; allow as"):
        chosen(graph, data, work, max_bytes=least - 1, widths=[2, 4, 6, 8])
    assert chosen(graph, data, work, max_bytes=least, widths=[2, 4, 6, 8]).layers[0].bits == 2
    with pytest.raises(UserError, match=r"max_drop: before training, all widths lose more than 1 points .* is \d+\.\d"):
        chosen(graph, data, work / "few", max_drop=1.0, widths=[2, 4])


def test_a_killed_choice_goes_on_and_comes_to_the_same_bytes(graph, data, tmp_path, monkeypatch, capfd):
    auto = {"max_drop": 2.0, "widths": [8, 4, 2]}
    one, written = chosen(graph, data, tmp_path / "one", **auto), []

    def killed(file: Path, values: list) -> None:
        if len(written) == 20:  # of 15 for the costs, and as many for the curve
            raise KeyboardInterrupt
        written.append(file)
        write(file, values)

    write = module.write_json
    monkeypatch.setattr(module, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        chosen(graph, data, tmp_path / "two", **auto)
    monkeypatch.undo()
    two = chosen(graph, data, tmp_path / "two", processes=2, **auto)
    assert "15 of 15 parts are there" in (out := capfd.readouterr().out) and "5 of 15 parts are there" in out
    assert json.dumps(asdict(one)) == json.dumps(asdict(two))
    given = recipe(**auto)
    write_widths(two, given, [], tmp_path / "widths.json")
    assert read_widths(tmp_path / "widths.json") == two
    taken = _with_widths(given, tmp_path / "widths.json").quantization.weight_bits
    assert taken == read_sealed(tmp_path / "widths.json")["weight_bits"]
    assert kernel_bits(graph, quantised_kernels(graph), taken) == bits(two), "as training takes it"
    with pytest.raises(UserError, match="there is no choice of widths"):
        _with_widths(given, None)
