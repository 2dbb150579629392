"""`qatflow inspect` and `qatflow optimize`, on single files."""

import json
from pathlib import Path

import numpy as np
import pytest

import qatflow
from helpers.graphs import pictures, small_graph
from qatflow.base.cli import status_of
from qatflow.commands.table import main
from qatflow.graph.store import save
from qatflow.tflite.run import Model

IMAGES = pictures(12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    graph = small_graph()
    save(graph, folder / "float")
    save(qatflow.quantise(graph, IMAGES, weight_bits={"default": 8, "left": 4}), folder / "int8")
    (folder / "int8.tflite").write_bytes(qatflow.convert(qatflow.load(folder / "int8")))
    return folder


def seen(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert status_of(main, ["inspect", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_inspect_shows_the_layers_of_a_graph(folder, capsys):
    graph = qatflow.load(folder / "int8")
    found = seen(capsys, str(folder / "int8"))
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert list(layers) == [node.name for node in graph.nodes if node.inputs]
    assert layers["left"]["kernel_bits"] == 4 and layers["conv"]["kernel_bits"] == 8
    assert layers["conv"]["kernel"] == list(graph.weights["conv/kernel"].shape)
    assert layers["conv"]["kernel_scales"] == graph.weights["conv/kernel"].shape[-1]
    assert found["parameters"] == sum(values.size for values in graph.weights.values())
    assert found["input"] == list(IMAGES.shape[1:])
    floats = seen(capsys, str(folder / "float"))
    assert {layer["type"] for layer in floats["layers"]} == {"float32"}


def test_inspect_shows_the_operators_of_a_tflite(folder, capsys):
    from ai_edge_litert.interpreter import Interpreter

    path = folder / "int8.tflite"
    found = seen(capsys, str(path))
    interpreter = Interpreter(model_path=str(path))
    details = {one["name"]: one for one in interpreter.get_tensor_details()}
    for layer in found["layers"]:
        about = details[layer["name"]]
        scale, zero = about["quantization"]
        assert layer["type"] == np.dtype(about["dtype"]).name and layer["shape"] == list(about["shape"][1:])
        assert (layer["scale"] or 0) == pytest.approx(scale) and (layer["zero_point"] or 0) == zero
    assert found["bytes"] == path.stat().st_size and 0 < found["parameter_bytes"] < found["bytes"]
    bits = {layer["name"]: layer["kernel_bits"] for layer in found["layers"] if layer["kernel"]}
    assert sorted(bits.values())[0] == 4 and sorted(bits.values())[-1] == 8

    assert status_of(main, ["inspect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("in float32") and lines[2].split()[:4] == ["layer", "operator", "output", "type"]
    assert len(lines) == 4 + len(found["layers"]) + 2 and f"{found['parameters']:,} parameters" in lines[-1]


def test_optimize_writes_the_folder_for_the_device(folder, tmp_path, capsys):
    output = tmp_path / "device"
    assert status_of(main, ["optimize", str(folder / "int8"), "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert (output / "model.tflite").read_bytes() == (folder / "int8.tflite").read_bytes()
    about = json.loads((output / "optimization.json").read_text())
    assert about["weight_bits"] == [4, 8] and about["bytes_after"] == (output / "model.tflite").stat().st_size
    assert "without --data" in said and f"{output}/model.tflite" in said
    expected = Model(folder / "int8.tflite").outputs(IMAGES)
    np.testing.assert_array_equal(Model(output / "model.tflite").outputs(IMAGES), expected)
    assert seen(capsys, str(output))["file"] == f"{output}/model.tflite"
    assert status_of(main, ["optimize", str(folder / "int8"), "--output", str(output)]) == 1
    assert "exists: remove it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("x.tflite", b"no model", "is no .tflite file, or damaged"), ("x.keras", b"no model", "neither an HDF5 file")],
)
def test_files_that_are_no_models_are_refused(tmp_path, capsys, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert status_of(main, ["inspect", str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().err
