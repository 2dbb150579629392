"""Float weights from elsewhere: official addresses, and .h5 files."""

import json
from pathlib import Path

import numpy as np
import pytest

from qatflow.config.model import Config
from qatflow.errors import UserError
from qatflow.pretrained.sources import weights_file
from small_data import prepared_digits

DOWNLOADS = Path("pretrain/download")


def config(source: str, alpha: float = 0.75, size: int = 224, **pretrained) -> Config:
    return Config.model_validate(
        {
            "pretrained": {"source": source, **pretrained},
            "model": {"alpha": alpha},
            "data": {"preprocessing": {"size": size, "channels": 3, "mean": [127.5] * 3, "std": [127.5] * 3}},
        }
    )


def test_trained_weights_come_from_no_file():
    assert weights_file(Config(), DOWNLOADS) is None


def test_the_official_file_is_named_by_width_and_size_and_pinned():
    found = weights_file(config("keras-applications"), DOWNLOADS)
    assert found is not None and found.url is not None and found.sha256 is not None
    assert found.url.endswith("/keras-applications/mobilenet/mobilenet_7_5_224_tf.h5")
    assert found.path == DOWNLOADS / "mobilenet_7_5_224_tf.h5"
    assert found.sha256.startswith("910dde22dc87")


def test_an_official_file_without_known_checksum_needs_one():
    with pytest.raises(UserError, match=r"pretrained\.sha256: is missing.*mobilenet_1_0_224_tf\.h5"):
        weights_file(config("keras-applications", alpha=1.0), DOWNLOADS)
    found = weights_file(config("keras-applications", alpha=1.0, sha256="0" * 64), DOWNLOADS)
    assert found is not None and found.sha256 == "0" * 64


@pytest.mark.parametrize(("alpha", "size"), [(0.6, 224), (0.5, 100)])
def test_widths_and_sizes_that_keras_lacks_are_refused_with_those_it_has(alpha: float, size: int):
    with pytest.raises(UserError, match=r"0\.25, 0\.5, 0\.75, 1\.0.*128, 160, 192, 224"):
        weights_file(config("keras-applications", alpha, size), DOWNLOADS)


@pytest.fixture(scope="module")
def model():
    """MobileNetV1 α 0.25 for ten classes, made by Keras, and its outputs for some pictures."""
    from qatflow.tensorflow_runtime import start

    start(seed=5, threads=2)
    import tf_keras

    model = tf_keras.applications.MobileNet((32, 32, 1), alpha=0.25, weights=None, classes=10)
    pictures = np.random.default_rng(0).normal(size=(4, 32, 32, 1)).astype(np.float32)
    return model, pictures, model(pictures, training=False).numpy()


@pytest.fixture(scope="module")
def weights_h5(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.h5"
    model[0].save_weights(path)
    return path, *model[1:]


@pytest.mark.tensorflow
def test_an_h5_file_becomes_a_folder_with_its_measured_top1(weights_h5, tmp_path):
    from qatflow.config.model import ModelSection
    from qatflow.graph.store import load
    from qatflow.pretrained.prepare import prepare_from_file
    from qatflow.tflite.from_graph import convert
    from qatflow.tflite.run import Model

    path, pictures, expected = weights_h5
    data = prepared_digits(tmp_path / "data")
    prepare_from_file(path, ModelSection(alpha=0.25), data.folder / "manifest.json", tmp_path / "out", 2)
    found = Model(convert(load(tmp_path / "out")).content).outputs(pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    about = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert about["validation"]["pictures"] == 180
    assert 0 <= about["validation"]["top1"] <= about["validation"]["top5"] <= 1


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["whole.h5", "only.weights.h5"])
def test_every_form_of_h5_gives_the_same_weights(model, weights_h5, tmp_path, name):
    from qatflow.pretrained.keras_weights import load_h5

    if name == "whole.h5":
        model[0].save(tmp_path / name)
    else:
        model[0].save_weights(tmp_path / name)
    found, expected = (load_h5(path, (32, 32, 1), 10, 0.25, 0.0, 0.9) for path in (tmp_path / name, weights_h5[0]))
    assert found.weights.keys() == expected.weights.keys()
    for weight, array in expected.weights.items():
        assert np.array_equal(found.weights[weight], array)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("alpha", "classes", "channels", "layer"),
    [
        (0.5, 10, 1, r"conv1: its kernel has shape \(3, 3, 1, 16\) in the model, and \(3, 3, 1, 8\)"),
        (0.25, 7, 1, r"conv_preds: its kernel has shape \(1, 1, 256, 7\) in the model, and \(1, 1, 256, 10\)"),
        (0.25, 10, 3, r"conv1: its kernel has shape \(3, 3, 3, 8\) in the model, and \(3, 3, 1, 8\)"),
    ],
    ids=["width", "classes", "channels"],
)
def test_weights_that_do_not_fit_name_the_first_layer_and_both_shapes(weights_h5, alpha, classes, channels, layer):
    from qatflow.pretrained.keras_weights import load_h5

    message = rf"weights\.h5: its weights do not fit MobileNetV1 with alpha {alpha}.* {classes} classes: layer {layer}"
    with pytest.raises(UserError, match=message):
        load_h5(weights_h5[0], (32, 32, channels), classes, alpha, 0.0, 0.9)


@pytest.mark.tensorflow
def test_weights_without_the_classifier_say_so(tmp_path):
    import tf_keras

    from qatflow.pretrained.keras_weights import load_h5

    headless = tf_keras.applications.MobileNet((32, 32, 1), alpha=0.25, weights=None, include_top=False)
    headless.save_weights(tmp_path / "notop.h5")
    with pytest.raises(UserError, match=r"layer conv_preds has shape .*, and the file has no layer for it"):
        load_h5(tmp_path / "notop.h5", (32, 32, 1), 10, 0.25, 0.0, 0.9)


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", ["model.h5", "model.keras", "saved_model"])
def test_code_in_a_whole_model_is_not_run(model, tmp_path, form):
    """A Lambda layer leaves a mark whenever it is made from a file; with the weights alone it stays unread."""
    import tf_keras

    from qatflow.pretrained.keras_weights import load_h5

    mark = tmp_path / "mark"
    code = eval(f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]")  # a constant, as an attacker would write it
    around = model[0].input if form == "saved_model" else model[0].output  # the whole takes long to save in that form
    tf_keras.Model(model[0].input, tf_keras.layers.Lambda(code)(around)).save(tmp_path / form)
    mark.unlink()
    tf_keras.models.load_model(tmp_path / form, **({"safe_mode": False} if form == "model.keras" else {}))
    mark.unlink()  # the trap works
    if form == "model.h5":
        found = load_h5(tmp_path / form, (32, 32, 1), 10, 0.25, 0.0, 0.9)
        assert np.array_equal(found.weights["conv1/kernel"], model[0].get_layer("conv1").kernel.numpy())
    else:
        with pytest.raises(UserError, match=r"pretrained\.path takes an HDF5 file of weights"):
            load_h5(tmp_path / form, (32, 32, 1), 10, 0.25, 0.0, 0.9)
    assert not mark.exists()


@pytest.mark.tensorflow
def test_a_missing_or_damaged_file_is_one_message(weights_h5, tmp_path):
    from qatflow.pretrained.keras_weights import load_h5

    with pytest.raises(UserError, match="no such file"):
        load_h5(tmp_path / "none.h5", (32, 32, 1), 10, 0.25, 0.0, 0.9)
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(weights_h5[0].read_bytes()[:20_000])
    with pytest.raises(UserError, match="damaged"):
        load_h5(damaged, (32, 32, 1), 10, 0.25, 0.0, 0.9)
