"""Good weights fine-tuned with the defaults on a few hundred pictures get better, and are never shipped worse."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from helpers.few_layers import narrow_mobilenet
from helpers.flowers import KINDS, OTHERS, flower_folder, flowers
from qatflow.base.picture_size import square
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.data.preparation.prepare import Settings
from qatflow.data.preparation.prepare import prepare as prepare_data
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import tensors
from qatflow.training.batch import batch_norm_momentum, default_batch, few_steps
from qatflow.training.from_config import float_training

pytestmark = pytest.mark.tensorflow

SPEC = Preprocessing(size=square(32), resize="stretch", channels=3, mean=(127.5,) * 3, std=(127.5,) * 3)


def trained_by_keras(kinds: dict, count: int, epochs: int) -> Any:
    """A network that Keras itself has trained on so many pictures of some kinds."""
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(5)
    model = narrow_mobilenet((32, 32, 3), len(kinds))
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.9
    model.compile(tf_keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    pictures, labels = flowers(kinds, count, seed=77)
    model.fit(pictures / np.float32(127.5) - 1, labels, batch_size=50, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """300 training pictures of five kinds, and many to measure on."""
    folder = tmp_path_factory.mktemp("flowers")
    path = flower_folder(folder / "pictures", KINDS, {"train": 300, "val": 200, "test": 1000}, seed=1)
    settings = Settings(
        name="flowers", source="folder", path=path, validation=1, test=1, calibration=60, shards=1, max_rejected=0.0,
        seed=1, preprocessing=SPEC,
    )  # fmt: skip
    prepare_data(settings, folder / "data")
    return read_manifest(folder / "data/manifest.json")


def fine_tuned(model: Any, data: Manifest, folder: Path, **changes: Any) -> float:
    """Fine-tune a Keras model by the program's own way, in `folder`; return top-1 on the test pictures."""
    from qatflow.data.pipeline import evaluation_batches
    from qatflow.graph.store import load
    from qatflow.pretrained.prepare import WeightsSource, prepare
    from qatflow.training.keras_model import training_model
    from qatflow.training.loss import evaluator

    model.save(folder / "own.h5")
    source = WeightsSource(None, own=True, train=True)
    network, training = ModelSection(file=str(folder / "own.h5")), FloatTrainingSection(**changes)
    manifest = data.folder / "manifest.json"
    prepare(source, network, training, manifest, folder / "made", folder / "work", seed=1, threads=2)
    evaluate = evaluator(training_model(load(folder / "made"), seed=0, step=0))
    return evaluate(evaluation_batches(data, "test"))[1]


def test_weights_of_the_same_kinds_end_above_their_own_accuracy(data, tmp_path, capsys):
    model = trained_by_keras(KINDS, 1500, epochs=4)
    _, own = model.evaluate(*tensors(data, "test"), verbose=0)
    assert 0.5 < own < 0.9, "good, and not so good that nothing is left to learn"
    top1 = fine_tuned(model, data, tmp_path)
    printed = capsys.readouterr().out
    assert top1 > own
    assert (
        "batches of 32 (of 300 training pictures), learning rate 0.00075 (the weights are trained already)" in printed
    )
    assert "before training: validation loss" in printed and "warning" not in printed
    # the best on validation, and of equal ones the last: its figure is that of the graph that goes on
    about = json.loads((tmp_path / "made/manifest.json").read_text())
    lines = csv.DictReader((tmp_path / "made/history.csv").read_text().splitlines())
    epochs = {int(line["epoch"]): float(line["validation_top1"]) for line in lines}
    assert about["exported_epoch"] == max(epochs, key=lambda epoch: (epochs[epoch], epoch))
    assert epochs[about["exported_epoch"]] == pytest.approx(about["validation"]["top1"], abs=1e-6)


def test_weights_of_other_kinds_end_above_the_best_head_on_what_they_see(data, tmp_path, capsys):
    import tf_keras
    from sklearn.linear_model import LogisticRegression

    model = trained_by_keras(OTHERS, 1500, epochs=6)
    seen = tf_keras.Model(model.inputs, model.layers[-2].output)
    (pictures, labels), (others, expected) = tensors(data, "train"), tensors(data, "test")
    probe = LogisticRegression(max_iter=2000).fit(seen.predict(pictures, verbose=0), labels)
    own = probe.score(seen.predict(others, verbose=0), expected)
    top1 = fine_tuned(model, data, tmp_path)
    assert top1 > own > 1 / len(KINDS)
    assert "for the new last layer, predictions" in capsys.readouterr().out


def test_a_rate_that_ruins_the_weights_is_warned_of_and_they_are_kept(data, tmp_path, capsys):
    model = trained_by_keras(KINDS, 1500, epochs=4)
    _, own = model.evaluate(*tensors(data, "test"), verbose=0)
    top1 = fine_tuned(model, data, tmp_path, learning_rate=5.0, warmup_epochs=0.0, epochs=2, batch_size=100)
    printed = capsys.readouterr().out
    assert top1 == pytest.approx(own, abs=1e-6)
    assert re.search(
        r"^warning: epoch 0 ends with [\d.]+ times the validation loss that the weights came with \([\d.]+\): lower "
        r"pretrained.train.learning_rate, which is 5, or set it to null$",
        printed, re.MULTILINE,
    )  # fmt: skip
    assert "warning: pretrained.train.batch_size 100 leaves 3 steps an epoch of 300 pictures" in printed
    assert "best on validation: the weights as they came" in printed
    about = json.loads((tmp_path / "made/manifest.json").read_text())
    (said,) = about["said"]
    assert about["exported_epoch"] is None
    assert said == "no epoch of fine-tuning did better on validation than the weights as they came, which are kept"
    kept = load_file(tmp_path / "made/weights")
    for name in ("conv1/kernel", "conv_pw_4_bn/moving_mean", "predictions/bias"):
        layer, _, role = name.partition("/")
        (values,) = [w.numpy() for w in model.get_layer(layer).weights if w.name.endswith(f"/{role}:0")]
        np.testing.assert_array_equal(kept[name], values)


@pytest.mark.parametrize(
    ("pictures", "batch"),
    [(55_000, 128), (5_000, 128), (1_257, 128), (897, 128), (896, 64), (300, 32), (100, 16), (9, 16)],
)
def test_a_batch_leaves_eight_steps_an_epoch_where_sixteen_pictures_do(pictures, batch):
    assert default_batch(pictures) == batch
    assert few_steps(batch, pictures, "compress") == ""


@pytest.mark.parametrize(
    ("pictures", "batch", "momentum"), [(55_000, 128, 0.9), (1_921, 128, 0.9), (1_920, 128, 0.7), (300, 32, 0.7)]
)
def test_batch_norm_follows_faster_where_an_epoch_has_few_steps(pictures, batch, momentum):
    assert batch_norm_momentum(pictures, batch) == momentum


def test_steps_too_few_are_warned_of():
    assert few_steps(128, 300, "compress") == (
        "warning: compress.batch_size 128 leaves 3 steps an epoch of 300 pictures, which learns little: set it to "
        "null, which takes 32 here"
    )
    assert "leaves 1 step an" in few_steps(128, 100, "compress")
    assert few_steps(128, 500, "compress") == ""


def test_the_default_is_a_tenth_for_new_weights_and_much_less_for_trained_ones():
    def settings(pictures: int, **how: Any) -> Any:
        return float_training(FloatTrainingSection(**how.pop("section", {})), pictures, 1, **how).settings

    embedded = settings(55_000, loaded=False, new_head=None)
    assert (embedded.batch_size, embedded.learning_rate, embedded.new_layer) == (128, 0.1, None)
    assert settings(300, loaded=False, new_head=None).learning_rate == 0.025
    assert settings(300, loaded=False, new_head=None, batch_norm=False).learning_rate == 0.1
    tuned = settings(300, loaded=True, new_head=None)
    assert tuned.learning_rate <= settings(300, loaded=False, new_head=None).learning_rate / 10
    head = settings(300, loaded=True, new_head="predictions")
    assert head.learning_rate <= 0.0025 and head.new_layer == "predictions"
    assert head.learning_rate * head.new_layer_rate == pytest.approx(0.025)
    own = settings(300, loaded=True, new_head="predictions", section={"learning_rate": 0.02, "batch_size": 50})
    assert (own.batch_size, own.learning_rate, own.new_layer, own.new_layer_rate) == (50, 0.02, None, 1.0)
