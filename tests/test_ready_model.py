"""A model that is quantised already: adopted as it is, or refused with the reason."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qatflow.config.model import AccuracySection
from qatflow.data.reader import calibration, tensors
from qatflow.errors import UserError
from qatflow.evaluate.gate import Published, gate
from qatflow.gates import require_open
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.operations import Conv2D, GlobalAveragePool, Input, Softmax
from qatflow.graph.store import save
from qatflow.optimize.ready import adopt
from qatflow.ptq.quantise import quantise
from qatflow.tflite.background import without_background
from qatflow.tflite.from_graph import convert
from qatflow.tflite.run import Model
from small_data import prepared_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def classifier(classes: int = 10, quantised: bool = False) -> Graph:
    """A convolution, a mean and a softmax: float, or with integers and scales of its own."""
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("logits", Conv2D((4, 4), "same"), ("input",)),
        Node("mean", GlobalAveragePool(keepdims=False), ("logits",)),
        Node("out", Softmax(), ("mean",)),
    )
    kernel = np.random.default_rng(0).normal(0, 1, (5, 5, 1, classes)).astype(np.float32)
    graph = Graph(nodes, ("out",), {"logits/kernel": kernel})
    if not quantised:
        return graph
    scale = np.asarray([np.abs(kernel).max() / 127], np.float32)
    return replace(
        graph,
        weights={"logits/kernel": np.rint(kernel / scale).astype(np.int8)},
        weight_scales={"logits/kernel": WeightScale(8, scale)},
        activation_scales={name: ActivationScale(8, 0.1) for name in ("input", "logits", "mean")},
    )


def ready(folder: Path, digits, classes: int = 10) -> Path:
    path = folder / f"ready{classes}.tflite"
    path.write_bytes(quantise(convert(classifier(classes)).content, calibration(digits)[:8]))
    return path


def test_a_quantised_file_is_taken_as_it_is_with_the_data_s_labels(digits, tmp_path):
    source = ready(tmp_path, digits)
    adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == source.read_bytes()
    assert (tmp_path / "out" / "labels.txt").read_text().split() == list(digits.labels)
    about = json.loads((tmp_path / "out" / "optimization.json").read_text())
    assert about["operators_after"]["CONV_2D"] == 1


def test_an_exported_folder_is_lowered_as_the_optimise_stage_does(digits, tmp_path):
    graph = classifier(quantised=True)
    save(graph, tmp_path / "float", "float")
    adopt(tmp_path / "float", digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == convert(graph).content


def test_what_is_no_quantised_model_of_these_pictures_is_refused(digits, tmp_path):
    def refused(path: Path, message: str) -> None:
        with pytest.raises(UserError, match=message):
            adopt(path, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
        assert not (tmp_path / "out").exists()

    (tmp_path / "text.tflite").write_text("no model at all")
    refused(tmp_path / "text.tflite", r"text\.tflite is no \.tflite file")
    (tmp_path / "cut.tflite").write_bytes(ready(tmp_path, digits).read_bytes()[:300])
    refused(tmp_path / "cut.tflite", r"cut\.tflite is damaged")
    (tmp_path / "float.tflite").write_bytes(convert(classifier()).content)
    refused(tmp_path / "float.tflite", r"float\.tflite is not quantised")
    save(classifier(), tmp_path / "folder")
    refused(tmp_path / "folder", "folder holds a float model")
    refused(ready(tmp_path, digits, 11), r"has 11 classes, data/digits has 10; set quantized_model\.drop_background")
    refused(ready(tmp_path, digits, 7), r"has 7 classes, data/digits has 10$")
    small = classifier()
    small = small.with_nodes([replace(small.nodes[0], operation=Input((16, 16, 1))), *small.nodes[1:]])
    (tmp_path / "small.tflite").write_bytes(quantise(convert(small).content, np.zeros((2, 16, 16, 1), np.float32)))
    refused(tmp_path / "small.tflite", r"takes \(16, 16, 1\), and the pictures of data/digits are \(32, 32, 1\)")


def test_without_the_background_the_other_classes_keep_their_values(digits, tmp_path):
    source = ready(tmp_path, digits, 11)
    pictures, _ = tensors(digits, "test", 20)
    whole = Model(source).outputs(pictures)
    content = without_background(source.read_bytes(), "it")
    np.testing.assert_array_equal(Model(content).outputs(pictures), whole[:, 1:])
    adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=True)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == content


def test_the_gate_holds_a_ready_model_to_its_published_figure(digits, tmp_path):
    source, manifest = ready(tmp_path, digits), digits.folder / "manifest.json"
    pictures, labels = tensors(digits, "validation")
    top1 = 100 * float((Model(source).outputs(pictures).argmax(axis=1) == labels).mean())
    output = tmp_path / "gate.json"

    def said(published: Published | None) -> list[str]:
        return gate(None, source, None, manifest, AccuracySection(), output, published).said

    assert said(Published(top1 + 1, 2))[0].startswith(f"top-1 {top1:.2f} % on 180 validation pictures, published")
    assert "no float model and no figure" in said(None)[0]
    assert json.loads(output.read_text())["against_float"] is None
    require_open(output)
    said(Published(90.0, 1.0))
    with pytest.raises(UserError, match=r"closed: .*published 90 %, more than quantized_model\.top1_tolerance 1 "):
        require_open(output)
