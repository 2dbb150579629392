"""Float weights from elsewhere: official addresses, and .h5 files."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.config.sections.config import Config
from qatflow.config.sections.named_files import weights_file

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


def test_the_official_files_of_the_other_architectures_are_named_and_pinned_as_far_as_is_known():
    def found(architecture: str, alpha: float | None, size: int = 224, **pretrained):
        values = config("keras-applications", 1.0, size, **pretrained).model_dump()
        values["model"] |= {"architecture": architecture, "alpha": alpha}
        return weights_file(Config.model_validate(values), DOWNLOADS)

    second = found("MobileNetV2", 1.0)
    assert second.url.endswith("/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5")
    assert second.sha256.startswith("3e195a285735")
    third = found("ResNet50", None, mirror="http://mirror/keras/")
    assert third.url == "http://mirror/keras/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    assert (third.sha256, third.md5) == (None, "2cb95161c43110f7111970584f804107")
    assert found("ResNet50", None, sha256="1" * 64).md5 is None
    with pytest.raises(UserError, match=r"pretrained\.sha256: is missing.*kernels_0\.35_96\.h5"):
        found("MobileNetV2", 0.35, 96)


@pytest.mark.tensorflow
def test_the_figures_are_those_that_keras_source_has():
    """The MD5 of ResNet50, and the published accuracies of the tables in its modules."""
    import importlib

    from qatflow.config.sections.official_weights import BASE, OFFICIAL

    resnet = importlib.import_module("tf_keras.src.applications.resnet")
    assert list(OFFICIAL["ResNet50"].md5.values()) == [resnet.WEIGHTS_HASHES["resnet50"][0]]
    assert f"{BASE}/resnet/" == resnet.BASE_WEIGHTS_PATH
    first = importlib.import_module("tf_keras.src.applications.mobilenet")
    second = importlib.import_module("tf_keras.src.applications.mobilenet_v2")
    lines = {" ".join(line.replace("|", " ").split()[:4]) for line in first.__doc__.splitlines()}
    for (width, size), top1 in OFFICIAL["MobileNetV1"].top1.items():
        assert {f"{text} MobileNet-{size} {top1} %" for text in (f"{width:.1f}", f"{width:.2f}")} & lines
    for (width, size), top1 in OFFICIAL["MobileNetV2"].top1.items():
        (line,) = [line for line in second.__doc__.splitlines() if f"[mobilenet_v2_{width}_{size}]" in line]
        assert f" {top1} " in line
    third, small = importlib.import_module("tf_keras.src.applications.mobilenet_v3"), OFFICIAL["MobileNetV3Small"]
    for (width, size), top1 in small.top1.items():
        assert small.md5[small.file(width, size)] == third.WEIGHTS_HASHES[f"small_{size}_{width}_float"][0]
        table = third.BASE_DOCSTRING.splitlines()
        (line,) = [line for line in table if f" mobilenet_v3_small_{width}_{size} " in line]
        assert f" {top1} " in line
    assert f"{BASE}/mobilenet_v3/" == third.BASE_WEIGHT_PATH


@pytest.mark.parametrize(("alpha", "size"), [(0.6, 224), (0.5, 100)])
def test_widths_and_sizes_that_keras_lacks_are_refused_with_those_it_has(alpha: float, size: int):
    with pytest.raises(UserError, match=r"0\.25, 0\.5, 0\.75, 1\.0.*128, 160, 192, 224"):
        weights_file(config("keras-applications", alpha, size), DOWNLOADS)


@pytest.fixture(scope="module")
def model():
    """MobileNetV1 α 0.25 for ten classes, made by Keras, and its outputs for some pictures."""
    from qatflow.training.runtime import start

    start(seed=5, threads=2)
    import tf_keras

    model = tf_keras.applications.MobileNet((32, 32, 1), alpha=0.25, weights=None, classes=10)
    pictures = np.random.default_rng(0).normal(size=(4, 32, 32, 1)).astype(np.float32)
    return model, pictures, model(pictures, training=False).numpy()


def loaded(path: Path, alpha: float = 0.25, channels: int = 1, classes: int = 10) -> dict[str, np.ndarray]:
    """The weights of a file in MobileNetV1."""
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.models.from_keras import graph_of
    from qatflow.pretrained.keras_weights import load_weights

    keras = mobilenet_v1((32, 32, channels), classes, alpha, 0.0)
    load_weights(keras, path, "MobileNetV1")
    return dict(graph_of(keras).weights)


@pytest.fixture(scope="module")
def weights_h5(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.h5"
    model[0].save_weights(path)
    return path, *model[1:]


@pytest.mark.tensorflow
def test_an_h5_file_becomes_a_folder_with_its_measured_top1(weights_h5, tmp_path):
    from qatflow.config.sections.model import ModelSection
    from qatflow.config.sections.pretrained import FloatTrainingSection
    from qatflow.graph.store import load
    from qatflow.pretrained.prepare import WeightsSource, prepare
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model

    path, pictures, expected = weights_h5
    data = prepared_digits(tmp_path / "data")
    folders = data.folder / "manifest.json", tmp_path / "out", tmp_path / "work"
    prepare(
        WeightsSource(path, False, False), ModelSection(alpha=0.25), FloatTrainingSection(), *folders, seed=1, threads=2
    )
    found = Model(convert(load(tmp_path / "out")).content).outputs(pictures)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    about = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert about["validation"]["pictures"] == 180
    assert 0 <= about["validation"]["top1"] <= about["validation"]["top5"] <= 1


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["whole.h5", "only.weights.h5", "whole.keras", "saved_model"])
def test_every_form_gives_the_same_weights(model, weights_h5, tmp_path, name):
    if name == "only.weights.h5":
        model[0].save_weights(tmp_path / name)
    else:
        model[0].save(tmp_path / name)
    found, expected = (list(loaded(path).values()) for path in (tmp_path / name, weights_h5[0]))
    assert len(found) == len(expected)
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


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
    with pytest.raises(UserError, match=rf"weights\.h5: its weights do not fit MobileNetV1: layer {layer}"):
        loaded(weights_h5[0], alpha, channels, classes)


@pytest.mark.tensorflow
def test_weights_without_the_classifier_say_so(tmp_path):
    import tf_keras

    headless = tf_keras.applications.MobileNet((32, 32, 1), alpha=0.25, weights=None, include_top=False)
    headless.save_weights(tmp_path / "notop.h5")
    with pytest.raises(UserError, match=r"layer conv_preds has shape .*, and the file has no layer for it"):
        loaded(tmp_path / "notop.h5")


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", ["model.h5", "model.keras", "saved_model"])
def test_code_in_a_whole_model_is_not_run(model, tmp_path, form):
    """A Lambda layer leaves a mark whenever it is made from a file; the arrays are read, and the layer is refused."""
    import tf_keras

    from qatflow.models.own_file import model_of
    from qatflow.models.saved.weights_file import description

    mark = tmp_path / "mark"
    code = eval(f"lambda x: (open({str(mark)!r}, 'w').close(), x)[1]")  # a constant, as an attacker would write it
    around = model[0].input if form == "saved_model" else model[0].output  # the whole takes long to save in that form
    tf_keras.Model(model[0].input, tf_keras.layers.Lambda(code, name="trap")(around)).save(tmp_path / form)
    mark.unlink()
    tf_keras.models.load_model(tmp_path / form, **({"safe_mode": False} if form == "model.keras" else {}))
    mark.unlink()  # the trap works
    if form != "saved_model":
        assert np.array_equal(loaded(tmp_path / form)["conv1/kernel"], model[0].get_layer("conv1").kernel.numpy())
    with pytest.raises(UserError, match=r"these layers cannot be translated: trap \(Lambda: its code"):
        model_of(description(tmp_path / form), form)
    assert not mark.exists()


@pytest.mark.tensorflow
def test_a_missing_or_damaged_file_is_one_message(weights_h5, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        loaded(tmp_path / "none.h5")
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(weights_h5[0].read_bytes()[:20_000])
    with pytest.raises(UserError, match="damaged"):
        loaded(damaged)
