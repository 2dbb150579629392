"""The accuracy gate opens and closes on what is measured."""

import json

import numpy as np
import pytest

from qatflow.data.reader import tensors
from qatflow.errors import UserError
from qatflow.evaluate.gate import gate
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Dense, Input, Reshape, Softmax
from qatflow.tflite.from_graph import convert
from small_data import prepared_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.fixture(scope="module")
def models(digits, tmp_path_factory):
    """A linear classifier by least squares, and the same with one class forgotten; top-1 of both, by NumPy."""
    inputs, labels = tensors(digits, "train")
    flat = inputs.reshape(len(inputs), -1)
    kernel = np.linalg.lstsq(flat.T @ flat + 100 * np.eye(1024), flat.T @ np.eye(10)[labels], rcond=None)[0]
    worse = kernel.copy()
    worse[:, 3] = 0
    folder = tmp_path_factory.mktemp("models")
    held_out, held_out_labels = tensors(digits, "validation")
    found = {}
    for name, values in (("good", kernel), ("worse", worse)):
        nodes = (
            Node("input", Input((32, 32, 1))),
            Node("flat", Reshape((1024,)), ("input",)),
            Node("logits", Dense(), ("flat",)),
            Node("out", Softmax(), ("logits",)),
        )
        graph = Graph(nodes, ("out",), {"logits/kernel": values.astype(np.float32)})
        (folder / f"{name}.tflite").write_bytes(convert(graph).lowered.content)
        predicted = (held_out.reshape(len(held_out), -1) @ values.astype(np.float32)).argmax(axis=1)
        found[name] = (folder / f"{name}.tflite", float((predicted == held_out_labels).mean()))
    return found


def test_a_closed_gate_tells_the_figures_and_leaves_no_file(digits, models, tmp_path):
    (good, right), (worse, less) = models["good"], models["worse"]
    assert right - less > 0.05
    with pytest.raises(UserError, match="gate is closed") as caught:
        gate(good, worse, digits.folder / "manifest.json", 1.0, tmp_path / "gate.json")
    told = str(caught.value)
    assert f"loses {100 * (right - less):.2f} points" in told
    assert f"{100 * right:.2f} % to {100 * less:.2f} % on 180 validation pictures" in told
    assert str(worse) in told and "accuracy.max_drop 1" in told
    assert not (tmp_path / "gate.json").exists()
    assert good.exists() and worse.exists()


@pytest.mark.parametrize(
    ("first", "second", "max_drop"), [("good", "good", 0.0), ("worse", "good", 0.0), ("good", "worse", None)]
)
def test_an_open_gate_writes_what_it_measured(digits, models, tmp_path, first, second, max_drop):
    gate(models[first][0], models[second][0], digits.folder / "manifest.json", max_drop, tmp_path / "gate.json")
    found = json.loads((tmp_path / "gate.json").read_text())
    assert found["points"] == pytest.approx(100 * (models[first][1] - models[second][1]))
    assert found["low"] <= found["points"] <= found["high"]
    assert (found["pictures"], found["max_drop"]) == (180, max_drop)
