"""Pictures and arrays without labels: a split of their own, for calibration and distillation."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from helpers.pictures import class_folders, noise, save
from helpers.scripts import load_script
from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize, square
from qatflow.config.checks.config import check_config, check_together
from qatflow.config.checks.no_labels import check_mixture, check_no_labels, check_training_without_labels
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.config import Config
from qatflow.data.answers import measure_of, with_classes_of, write_answers
from qatflow.data.manifest import Manifest
from qatflow.data.picture import decode
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing, apply
from qatflow.data.reader import calibration, open_manifest, records, tensors
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Dense, Input, Reshape, Softmax
from qatflow.graph.store import write

SPEC = Preprocessing(square(32), "stretch", 3, (127.5,), (127.5,))


def settings(path: Path, unlabeled: Path | None, **changes: Any) -> Settings:
    every: dict[str, Any] = {"validation": 6, "test": 6, "calibration": 7, "shards": 2, "max_rejected": 0.2, "seed": 1}
    every |= {"name": "photos", "source": "folder", "path": path, "preprocessing": SPEC, "unlabeled": unlabeled}
    return Settings(**(every | changes))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("pictures") / "photos", per_class=15)


@pytest.fixture(scope="module")
def plain(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepare(settings(labelled, None), tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def unlabeled(labelled: Path, plain: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures at several depths, one that is damaged, one of the test pictures and one of training."""
    root = tmp_path_factory.mktemp("unlabeled")
    for i in range(20):
        save(root / ("." if i % 2 else "deep/er") / f"{i:02d}.png", noise(100 + i, 30, 20, 3))
    (root / "damaged.jpg").write_bytes(b"no picture")
    (root / ".DS_Store").write_bytes(b"clutter")
    for split in ("test", "train"):
        record = next(records(plain, split))
        (root / f"of_{split}.png").write_bytes(record.content)
    return root


@pytest.fixture(scope="module")
def both(labelled: Path, unlabeled: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return prepare(settings(labelled, unlabeled), tmp_path_factory.mktemp("data") / "photos", cores=2)


def test_they_are_a_split_of_their_own_without_what_measures(both: Manifest, plain: Manifest, unlabeled: Path):
    assert list(both.splits) == ["train", "validation", "test", "unlabeled"]
    for split in ("train", "validation", "test"):  # the labelled pictures stay the same
        assert both.splits[split] == plain.splits[split]
    found = {record.key: record for record in records(both, "unlabeled")}
    names = {f"{i:02d}.png" if i % 2 else f"deep/er/{i:02d}.png" for i in range(20)}
    assert set(found) == names | {"of_train.png"}
    assert {record.label for record in found.values()} == {-1}
    assert all(record.content == (unlabeled / key).read_bytes() for key, record in found.items())
    rejected = (both.folder / "rejected.csv").read_text()
    assert 'unlabeled/damaged.jpg,"not a picture in a format' in rejected
    assert "unlabeled/of_test.png,the same picture is among those of test: " in rejected
    assert both.rejected == 2 and open_manifest(both.folder).splits == both.splits
    assert both.content_digest() != plain.content_digest()


def test_calibration_takes_them_or_the_training_pictures(
    both: Manifest, plain: Manifest, labelled: Path, unlabeled: Path, tmp_path: Path
):
    listed = json.loads((both.folder / "calibration.json").read_text())
    assert listed["split"] == "unlabeled" and len(listed["pictures"]) == 7
    keys = [picture["key"] for picture in listed["pictures"]]
    pixels = [decode((unlabeled / key).read_bytes(), 3) for key in keys]
    assert np.array_equal(calibration(both), np.stack([apply(SPEC, picture) for picture in pixels]))
    other = prepare(settings(labelled, unlabeled, calibrate_unlabeled=False), tmp_path / "photos")
    assert (other.folder / "calibration.json").read_text() == (plain.folder / "calibration.json").read_text()
    assert np.array_equal(calibration(other), calibration(plain))
    with pytest.raises(UserError, match=r"22 pictures are asked for, but data\.unlabeled\.path holds only 21"):
        prepare(settings(labelled, unlabeled, calibration=22), tmp_path / "more")


def test_training_can_be_given_both(both: Manifest, plain: Manifest):
    together = both.with_unlabeled()
    inputs, labels = tensors(together, "train")
    expected, known = tensors(both, "train")
    assert np.array_equal(inputs[: len(expected)], expected) and np.array_equal(labels[: len(known)], known)
    assert np.array_equal(inputs[len(expected) :], tensors(both, "unlabeled")[0]) and set(labels[len(known) :]) == {-1}
    assert together.splits["train"].count == both.splits["train"].count + 21
    assert together.splits["train"].unlabeled and not both.splits["train"].unlabeled
    assert np.array_equal(calibration(together), calibration(both))
    with pytest.raises(UserError, match=r"has no pictures without labels: set data\.unlabeled\.path"):
        plain.with_unlabeled()


def test_too_many_that_cannot_be_used_end_the_preparation(labelled: Path, unlabeled: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"2 of 23 pictures cannot be used[\s\S]*unlabeled/damaged\.jpg"):
        prepare(settings(labelled, unlabeled, max_rejected=0.05), tmp_path / "photos")
    small = Preprocessing(square(24), "pad", 3, (127.5,), (127.5,))
    for i in range(24):
        save(tmp_path / "small" / ("cat", "dog")[i % 2] / f"{i}.png", noise(500 + i, 24, 24, 3))
    with pytest.raises(UserError, match="do not fit the 24×24 square"):
        prepare(settings(tmp_path / "small", unlabeled, preprocessing=small), tmp_path / "photos")


def test_arrays_have_arrays_without_labels(tmp_path: Path):
    random = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "inputs.npy", random.normal(size=(40, 12, 9)).astype(np.float32))
    np.save(tmp_path / "a" / "labels.npy", np.arange(40) % 2)
    more = random.normal(size=(10, 12, 9)).astype(np.float32)
    more[3, 0, 0] = np.nan
    np.savez(tmp_path / "more.npz", inputs=more)
    spec = Preprocessing(PictureSize(12, 9), "none", 1, (0.0,), (1.0,))
    wanted = settings(tmp_path / "a", tmp_path / "more.npz", source="arrays", preprocessing=spec)
    manifest = prepare(wanted, tmp_path / "data" / "a")
    values = {record.key: record.content for record in records(manifest, "unlabeled")}
    assert values == {f"inputs[{i}]": more[i].tobytes() for i in range(10) if i != 3}
    assert (
        "unlabeled/inputs[3],1 of its 108 values are NaN or infinite" in (manifest.folder / "rejected.csv").read_text()
    )
    wrong = replace(wanted, preprocessing=replace(spec, size=PictureSize(9, 12)))
    with pytest.raises(UserError, match=r"the inputs have the shape \[12, 9\]"):
        prepare(wrong, tmp_path / "data" / "b")


RECIPE = """
version: 1.0
strategies:
  quantization: {class: QuantizationStrategy, start_epoch: 0, end_epoch: 3}
  distillation: {class: DistillationStrategy, distillers: [soft], start_epoch: 0, end_epoch: 4, unlabeled: true}
distillers:
  soft: {class: SoftLabelDistiller}
compressor: {epoch: 4, strategies: [distillation, quantization]}
"""


def test_the_configuration_says_who_uses_them(unlabeled: Path, tmp_path: Path):
    import yaml

    def said(section: dict[str, Any], **strategy: Any) -> list[str]:
        config = Config.model_validate({"data": {"unlabeled": section}})
        recipe = yaml.safe_load(RECIPE)
        recipe["strategies"]["distillation"] |= strategy
        compress = CompressConfig.model_validate(recipe)
        every = [*check_config(config), *check_together(config, compress)]
        return [f"{'.'.join(map(str, one.keys[0]))}: {one.message}" for one in every]

    path = str(unlabeled)
    assert said({"path": path}) == said({"path": path, "calibration": False}) == said({}, unlabeled=False) == []
    (tmp_path / "empty").mkdir()
    for section, strategy, message in (
        ({"path": str(tmp_path / "no")}, {}, f"data.unlabeled.path: the file {tmp_path}/no does not exist"),
        ({"path": str(tmp_path / "empty")}, {}, f"data.unlabeled.path: {tmp_path}/empty holds no file"),
        ({"path": str(unlabeled / "damaged.jpg")}, {}, f"data.unlabeled.path: {unlabeled}/damaged.jpg is neither a"),
        ({"path": path, "calibration": False}, {"unlabeled": False}, "data.unlabeled.path: nothing uses it"),
        ({}, {}, "data.unlabeled.path: is missing: strategy distillation of"),
        ({"path": path}, {"start_epoch": 1}, "compress.config: strategy distillation of"),
        ({"path": path}, {"end_epoch": 3}, "compress.config: strategy distillation of"),
    ):
        found = said(section, **strategy)
        assert [line for line in found if line.startswith(message)] and len(found) == 1, (message, found)


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_what_has_no_label_has_no_cross_entropy_and_is_not_counted(kind: Any):
    import tensorflow as tf

    from qatflow.training.loss import cross_entropy, sums

    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(6, 7)).astype(np.float32))
    labels = np.array([3, -1, 0, 6, -1, 2])
    known = labels >= 0
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(tf.constant(labels), logits, 0.1, kind, unlabeled=True)
    gradient = tape.gradient(loss, logits).numpy()
    assert (loss.numpy()[~known] == 0).all() and (gradient[~known] == 0).all()
    values = logits.numpy().astype(np.float64)
    target = np.eye(7)[labels] * 0.9 + 0.1 / 7
    share = np.exp(values) / np.exp(values).sum(1, keepdims=True) if kind == "softmax" else 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(gradient[known], (share - target)[known], atol=1e-6)
    only = sums(tf.constant(labels[known]), tf.constant(logits.numpy()[known]), kind).numpy()
    every = sums(tf.constant(labels), logits, kind, unlabeled=True).numpy()
    np.testing.assert_allclose(every, only, rtol=1e-6)
    assert only[3] == 4
    # nothing of it is in the step of a training whose pictures all have labels
    step = tf.function(lambda labels, logits: (cross_entropy(labels, logits, 0.1, kind), sums(labels, logits, kind)))
    traced = step.get_concrete_function(tf.TensorSpec([6], tf.int64), tf.TensorSpec([6, 7]))
    assert "Less" not in {operation.type for operation in traced.graph.get_operations()}


@pytest.fixture(scope="module")
def bare(unlabeled: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A folder without classes as the whole data set."""
    wanted = settings(unlabeled, None, source="unlabeled", calibration=5)
    return prepare(wanted, tmp_path_factory.mktemp("data") / "photos", cores=2)


def test_a_folder_without_classes_is_a_data_set(bare: Manifest, unlabeled: Path, tmp_path: Path):
    assert {name: split.count for name, split in bare.splits.items()} == {"train": 10, "validation": 6, "test": 6}
    assert bare.labels_from == "nothing" and bare.labels == () == open_manifest(bare.folder).labels
    found = {record.key: record for split in bare.splits for record in records(bare, split)}
    assert len(found) == 22 and {record.label for record in found.values()} == {-1}
    assert all(record.content == (unlabeled / key).read_bytes() for key, record in found.items())
    assert len(calibration(bare)) == 5
    with pytest.raises(UserError, match=r"data\.test: 23 pictures are to be set aside, but there are 23"):
        prepare(settings(unlabeled, None, source="unlabeled", test=23), tmp_path / "photos")


def test_the_float_models_answers_become_its_labels(bare: Manifest, tmp_path: Path):
    answers = {name: np.arange(split.count) % 3 for name, split in bare.splits.items()}
    labelled = write_answers(with_classes_of(bare, 3), answers, [bare.folder / "manifest.json"], tmp_path / "labelled")
    assert open_manifest(labelled.folder) == labelled and measure_of(labelled).key == "float_agreement"
    assert labelled.labels == ("0", "1", "2") and labelled.splits["train"].class_counts == (4, 3, 3)
    for split, given in answers.items():
        inputs, labels = tensors(labelled, split)
        assert np.array_equal(labels, given) and np.array_equal(inputs, tensors(bare, split)[0])
    assert np.array_equal(calibration(labelled), calibration(bare))
    listed = json.loads((labelled.folder / "calibration.json").read_text())["pictures"]
    assert all(picture["label"] == answers["train"][picture["position"]] for picture in listed)
    assert with_classes_of(bare, 1).labels == ("0", "1"), "one value is a binary classifier"


def test_the_labels_are_the_classes_that_the_float_model_takes_the_pictures_for(bare: Manifest, tmp_path: Path):
    nodes = (
        Node("input", Input((32, 32, 3))),
        Node("flat", Reshape((3072,)), ("input",)),
        Node("logits", Dense(), ("flat",)),
        Node("out", Softmax(), ("logits",)),
    )
    kernel = np.random.default_rng(2).normal(0, 0.1, (3072, 4)).astype(np.float32)
    write(Graph(nodes, ("out",), {"logits/kernel": kernel}), tmp_path / "pretrained")
    arguments = ["--pretrained", str(tmp_path / "pretrained"), "--data", str(bare.folder / "manifest.json")]
    load_script("label_pictures").main([*arguments, "--cores", "2", "--output", str(tmp_path / "labelled")])
    labelled = open_manifest(tmp_path / "labelled")
    assert labelled.labels == ("0", "1", "2", "3") and labelled.labels_from == "float model"
    for split in labelled.splits:
        inputs, labels = tensors(labelled, split)
        np.testing.assert_array_equal(labels, (inputs.reshape(len(inputs), -1) @ kernel).argmax(axis=1))
    assert len(np.unique(tensors(labelled, "train")[1])) > 1


def test_labels_txt_names_the_classes_and_is_no_picture(unlabeled: Path, tmp_path: Path):
    shutil.copytree(unlabeled, tmp_path / "named")
    (tmp_path / "named/labels.txt").write_text("cat\ndog\n")
    named = prepare(settings(tmp_path / "named", None, source="unlabeled"), tmp_path / "data")
    assert named.labels == ("cat", "dog") and sum(split.count for split in named.splits.values()) == 22
    assert with_classes_of(named, 2) == named
    with pytest.raises(UserError, match=r"labels\.txt names 2 classes, and the float model has 3"):
        with_classes_of(named, 3)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("pretrained", {"source": "train"}, "'train' learns from labels"),
        ("pretrained", {"source": "file", "fine_tune": True}, "true trains the float model on labels"),
        ("pretrained", {"source": "file", "expected_top1": 70.0}, "no top-1 can be measured"),
        ("model", {"function": "no.py:net"}, "is called with the number of classes"),
        ("data", {"unlabeled": {"path": "photos"}}, "put all pictures into data.path"),
        ("quantized_model", {"file": "model.tflite"}, "has no float model whose answers could serve as labels"),
    ],
)
def test_what_needs_labels_is_refused_before_work(section: str, values: dict[str, Any], message: str):
    content: dict[str, Any] = {"data": {"source": "unlabeled"}, "pretrained": {"source": "file"}}
    content.setdefault(section, {}).update(values)
    problems = [problem.message for problem in check_no_labels(Config.model_validate(content))]
    assert len(problems) == 1 and message in problems[0], problems


@pytest.mark.parametrize(
    ("method", "distillation", "message"),
    [
        ("ptq", {}, ""),
        ("qat", {"labels": False, "end_epoch": 4}, ""),
        ("qat", {"end_epoch": 4}, "trains with the loss of the labels"),
        ("auto", {"labels": False, "end_epoch": 3}, "trains with the loss of the labels"),
    ],
)
def test_training_without_labels_follows_the_float_model_alone(method: str, distillation: dict, message: str):
    recipe = yaml.safe_load(RECIPE)
    recipe["strategies"]["distillation"] |= {"unlabeled": False, **distillation}
    config = Config.model_validate({"data": {"source": "unlabeled"}, "method": method})
    found = list(check_training_without_labels(config, CompressConfig.model_validate(recipe)))
    assert [message in problem.message for problem in found] == [True] * bool(message)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"class": "UniformPruneStrategy", "pruner": "p"}, "measures by its metric_name the accuracy"),
        ({"class": "AutoPruneStrategy", "pruner": "p", "controller": "c"}, "searches by accuracy"),
    ],
)
def test_pruning_and_searches_need_labels(strategy: dict[str, Any], message: str):
    recipe = yaml.safe_load(RECIPE)
    recipe["strategies"] |= {"more": strategy}
    recipe["compressor"]["strategies"].insert(0, "more")
    config = Config.model_validate({"data": {"source": "unlabeled"}, "method": "ptq"})
    found = [one.message for one in check_training_without_labels(config, CompressConfig.model_validate(recipe))]
    assert any(message in one for one in found)


def test_experiments_with_and_without_labels_are_not_compared():
    configs = {name: Config.model_validate({"data": {"source": name}}) for name in ("digits", "unlabeled")}
    ((name, found),) = check_mixture(configs)
    assert name == "unlabeled" and "has no labels, unlike experiment digits" in found.message
