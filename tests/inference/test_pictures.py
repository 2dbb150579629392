"""Prepared pictures batch by batch: which they are, and equal bits whatever the number of processes."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize
from qatflow.base.sums import read_sealed
from qatflow.data.manifest import FILE, Manifest, read_manifest
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import calibration, pictures, records, tensors
from qatflow.evaluate.evaluate import evaluate
from qatflow.evaluate.layers import inspect_layers, inspect_prepared
from qatflow.evaluate.shown_pictures import shown_pictures, thumbnail
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Conv2D, Dense, GlobalAveragePool, Input, Relu, Softmax
from qatflow.inference import pictures as module
from qatflow.inference.pictures import PreparedPictures, batch_size
from qatflow.inference.ranking import rank
from qatflow.ptq.quantise import quantise
from qatflow.ptq.run import quantise_after_training
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model

PROCESSES = (1, 2, 3)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch):
    """Many batches for few pictures; the processes inherit it."""
    monkeypatch.setattr(module, "MOST", 16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data", shards=9)


def network(seed: int) -> Graph:
    random = np.random.default_rng(seed)
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("conv", Conv2D((4, 4), "same"), ("input",)),
        Node("relu", Relu(), ("conv",)),
        Node("pool", GlobalAveragePool(keepdims=False), ("relu",)),
        Node("logits", Dense(), ("pool",)),
        Node("out", Softmax(), ("logits",)),
    )
    shapes = {"conv/kernel": (3, 3, 1, 8), "logits/kernel": (8, 10)}
    return Graph(nodes, ("out",), {k: random.normal(0, 1, s).astype(np.float32) for k, s in shapes.items()})


@pytest.fixture(scope="module")
def models(data: Manifest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, content = tmp_path_factory.mktemp("models"), convert(network(0)).content
    contents = {"float": content, "int8": quantise(content, calibration(data)), "other": convert(network(1)).content}
    paths = {name: folder / f"{name}.tflite" for name in contents}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    return paths


@pytest.mark.parametrize("processes", PROCESSES)
def test_each_model_ranks_each_picture_as_on_the_whole_array(data: Manifest, models: dict[str, Path], processes: int):
    inputs, labels = tensors(data, "test")
    ranked = rank(models, PreparedPictures.of(data, "test", processes=processes))
    assert np.array_equal(ranked.labels, labels) and len(labels) == 360
    for name, path in models.items():
        outputs = Model(path).outputs(inputs)
        expected = [sorted(range(10), key=lambda number: (-row[number], number))[:5] for row in outputs.tolist()]
        assert ranked.best[name].tolist() == expected
        assert np.array_equal(ranked.predicted(name), outputs.argmax(axis=1))


@pytest.mark.parametrize("processes", PROCESSES)
def test_the_layers_figures_are_equal_to_the_last_bit(data: Manifest, models: dict[str, Path], processes: int):
    both = models["float"].read_bytes(), models["int8"].read_bytes()
    inputs, _ = tensors(data, "validation", 50)
    pictures = PreparedPictures.of(data, "validation", 50, processes=processes)
    assert pictures.count == 50 and inspect_prepared(*both, pictures) == inspect_layers(*both, inputs)


@pytest.mark.parametrize("cores", PROCESSES)
def test_quantisation_after_training_gives_equal_bytes(data: Manifest, models: dict[str, Path], tmp_path, cores: int):
    quantise_after_training(models["float"], data.folder / FILE, tmp_path / "ptq", cores=cores)
    assert (tmp_path / "ptq/model.tflite").read_bytes() == models["int8"].read_bytes()
    assert json.loads((tmp_path / "ptq/optimization.json").read_text())["calibration_pictures"] == 60


def test_nor_do_the_processes_change_what_a_calibration_method_finds(data: Manifest, models: dict[str, Path], tmp_path):
    for cores in (1, 3):
        quantise_after_training(models["float"], data.folder / FILE, tmp_path / str(cores), cores=cores, method="mse")
    one, three = ((tmp_path / str(cores) / "model.tflite").read_bytes() for cores in (1, 3))
    assert one == three != models["int8"].read_bytes()


def test_the_evaluation_differs_in_its_times_alone(data: Manifest, models: dict[str, Path], tmp_path: Path):
    found = []
    for cores in (1, 3):
        evaluate(models, None, data.folder / FILE, tmp_path / "evaluation.json", 1, 3, cores)
        measured = read_sealed(tmp_path / "evaluation.json")["models"]
        assert all(figures.pop("host_ms")["min"] > 0 for figures in measured.values())
        found.append(measured)
    assert found[0] == found[1] and found[0].keys() == models.keys()


def test_shown_pictures_are_those_that_only_one_model_gets_right_with_what_each_says(data: Manifest, models):
    inputs, labels = tensors(data, "test")
    both = {"float": models["float"], "qat": models["other"]}
    outputs = {name: Model(path).outputs(inputs) for name, path in both.items()}
    right = {name: of_model.argmax(axis=1) == labels for name, of_model in outputs.items()}
    ranked = rank(both, PreparedPictures.of(data, "test"))
    found = shown_pictures(ranked, data, 3)
    lost, won = right["float"] & ~right["qat"], ~right["float"] & right["qat"]
    for kind, those in (("lost", lost), ("won", won), ("confident", ~right["float"] & ~right["qat"])):
        sure = np.where(those, outputs["qat"].max(axis=1), -np.inf)
        positions = [one["position"] for one in found if one["kind"] == kind]
        assert positions == np.argsort(-sure, kind="stable")[: min(3, those.sum())].tolist()
    listed, stored = list(records(data, "test")), list(pictures(data, "test"))
    for one in found:
        assert (one["key"], one["label"]) == (listed[one["position"]].key, int(labels[one["position"]]))
        for name, guess in one["guesses"].items():
            row = outputs[name][one["position"]]
            assert guess["label"] == row.argmax() and guess["confidence"] == pytest.approx(row.max(), abs=1e-4)
        shown = Image.open(io.BytesIO(base64.b64decode(one["thumbnail"].partition(",")[2])))
        assert np.array_equal(np.asarray(shown), stored[one["position"]][0][..., 0]), "small ones stay as they are"
    assert shown_pictures(ranked, data, 0) == []
    large = thumbnail(np.zeros((100, 200, 3), np.uint8), replace(data.preprocessing, channels=3, mean=(0,), std=(1,)))
    assert large.startswith("data:image/jpeg") and len(large) < 2000


@pytest.mark.parametrize("processes", PROCESSES)
def test_calibration_pictures_come_in_the_order_of_their_list(data: Manifest, processes: int):
    listed = json.loads((data.folder / "calibration.json").read_text())["pictures"]
    train = list(records(data, "train"))
    pictures = PreparedPictures.calibration(data, processes=processes)
    batches = list(pictures.each(lambda: lambda inputs, labels: (inputs, labels)))
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 12] and pictures.count == 60
    assert np.array_equal(np.concatenate([inputs for inputs, _ in batches]), calibration(data))
    assert np.concatenate([labels for _, labels in batches]).tolist() == [p["label"] for p in listed]
    assert [train[p["position"]].key for p in listed] == [p["key"] for p in listed]


def relisted(data: Manifest, folder: Path, change) -> Manifest:
    """The data with another calibration list, and checksums that fit it."""
    content = json.loads((data.folder / "calibration.json").read_text())
    change(content["pictures"])
    own = prepared_digits(folder, shards=9)
    (folder / "calibration.json").write_text(json.dumps(content))
    return replace(own, folder=folder)


def test_a_list_that_does_not_fit_the_shards_is_refused(data: Manifest, tmp_path: Path):
    def beyond(pictures: list) -> None:
        pictures[3]["position"], pictures[5]["position"] = 1257, -1

    def other(pictures: list) -> None:
        pictures[3]["key"] = "another"

    with pytest.raises(UserError, match=r"calibration\.json names 2 pictures that the split train does not have"):
        calibration(relisted(data, tmp_path / "beyond", beyond))
    with pytest.raises(UserError, match=r"train-0000.*the record at byte \d+ is .*calibration list says another"):
        calibration(relisted(data, tmp_path / "other", other))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_changed_shard_is_refused(models: dict[str, Path], tmp_path: Path, processes: int):
    own = prepared_digits(tmp_path, shards=9)
    shard = own.shard_paths("test")[-1]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match=f"{shard.name} has changed since it was written"):
        rank(models, PreparedPictures.of(read_manifest(tmp_path), "test", processes=processes))


@pytest.mark.parametrize("processes", [1, 2])
def test_values_that_are_no_numbers_are_refused_by_the_model_s_name(data: Manifest, tmp_path: Path, processes: int):
    graph = network(0)
    graph.weights["logits/kernel"][0, 0] = np.nan
    (tmp_path / "nan.tflite").write_bytes(convert(graph).content)
    with pytest.raises(UserError, match=r"nan\.tflite computes values that are not finite"):
        rank({"float": tmp_path / "nan.tflite"}, PreparedPictures.of(data, "validation", processes=processes))


def test_a_batch_of_large_pictures_has_no_more_than_its_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST", 64)
    sizes = [PictureSize(8, 8), PictureSize(224, 224), PictureSize(512, 2048)]
    specs = [Preprocessing(size, "stretch", 3, (0.0,), (1.0,)) for size in sizes]
    assert [batch_size(spec) for spec in specs] == [64, 13, 1]
