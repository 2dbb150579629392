"""A Keras model of the user's own, by a file or a function: the same outputs, or one message of all that is not."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.few_layers import narrow_mobilenet
from helpers.small_data import prepared_digits
from helpers.small_networks import NETWORKS
from qatflow.base.errors import UserError
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection
from qatflow.models.own_function import source_files

FORMS = ["model.h5", "model.keras", "saved_model"]
OWN = """\
from tf_keras import Model, layers
from sizes import CHANNELS

def build(input_shape, classes):
    pictures = layers.Input(input_shape)
    x = layers.Conv2D(CHANNELS, 3, strides=4, activation="elu", name="first")(pictures)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(pictures, layers.Dense(classes, activation="softmax", name="head")(x))
"""


@pytest.fixture(scope="module")
def start():
    from qatflow.training.runtime import start

    start(seed=5, threads=2)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.fixture(scope="module")
def inception(start):
    """A network with concatenations, its outputs for some pictures, and the pictures."""
    import tf_keras

    tf_keras.backend.clear_session()
    model = NETWORKS["inception"]()
    pictures = np.random.default_rng(0).normal(size=(4, 32, 32, 1)).astype(np.float32)
    return model, model(pictures, training=False).numpy(), pictures


@pytest.fixture
def own(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with a function that builds a model, in which the test works."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "sizes.py").write_text("CHANNELS = 8\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("own", "sizes"):
        sys.modules.pop(name, None)


def float_graph(model: ModelSection, digits, weights: Path | None = None, fine_tune: bool = False):
    from qatflow.pretrained import float_graph

    return float_graph.float_graph(model, weights, model.file is not None, digits, fine_tune, seed=1)


def outputs(graph, pictures: np.ndarray) -> np.ndarray:
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model

    return Model(convert(graph).content).outputs(pictures)


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", FORMS)
def test_a_model_saved_whole_computes_the_same_as_a_graph(inception, digits, tmp_path, form):
    model, expected, pictures = inception
    model.save(tmp_path / form)
    graph = float_graph(ModelSection(file=str(tmp_path / form)), digits).graph
    np.testing.assert_allclose(outputs(graph, pictures), expected, rtol=0, atol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", FORMS)
def test_a_model_in_a_model_is_taken_apart(start, digits, tmp_path, form):
    import tf_keras
    from tf_keras import layers

    tf_keras.backend.clear_session()
    whole = narrow_mobilenet((32, 32, 1), 10)
    base = tf_keras.Model(whole.inputs, whole.layers[-2].output)
    base.trainable = False
    slopes = layers.PReLU(tf_keras.initializers.RandomUniform(0.1, 0.5, seed=1))
    top = tf_keras.Sequential([layers.Dense(8), slopes, layers.BatchNormalization(), layers.Dense(10, "softmax")])
    pictures = layers.Input((32, 32, 1))
    model = tf_keras.Model(pictures, top(base(layers.Rescaling(1 / 2, 0.1)(pictures))))
    some = np.random.default_rng(0).normal(size=(4, 32, 32, 1)).astype(np.float32)
    expected = model(some, training=False).numpy()
    model.save(tmp_path / form)
    graph = float_graph(ModelSection(file=str(tmp_path / form)), digits).graph
    np.testing.assert_allclose(outputs(graph, some), expected, rtol=0, atol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", FORMS)
def test_a_model_with_its_own_preprocessing_and_a_layer_used_twice_comes_from_a_file(start, digits, tmp_path, form):
    import tf_keras
    from tf_keras import layers

    tf_keras.backend.clear_session()
    some = np.random.default_rng(0).normal(2, 3, (4, 32, 32, 1)).astype(np.float32)
    normalised, twice = layers.Normalization(), layers.Conv2D(6, 3, 2, "same", groups=3)
    normalised.adapt(some)
    pictures = layers.Input((32, 32, 1))
    x = layers.RandomZoom(0.2)(layers.RandomFlip("horizontal")(pictures))
    x = layers.GaussianNoise(0.1)(layers.Conv2D(6, 3, 2, "same", activation="relu")(normalised(x)))
    x = layers.Conv2DTranspose(5, (3, 2), 2)(twice(twice(x)))
    model = tf_keras.Model(pictures, layers.Dense(10, "softmax")(layers.Flatten()(x)))
    expected = model(some, training=False).numpy()
    model.save(tmp_path / form)
    graph = float_graph(ModelSection(file=str(tmp_path / form)), digits).graph
    np.testing.assert_allclose(outputs(graph, some), expected, rtol=0, atol=1e-5)


@pytest.mark.tensorflow
def test_every_layer_that_cannot_be_translated_is_listed_from_the_file_alone(inception, tmp_path):
    """Without TensorFlow: the configuration is refused before any job."""
    from tf_keras import Model, layers

    from qatflow.models.own_file import unknown_layers
    from qatflow.models.saved.weights_file import description

    pictures = layers.Input((32, 32, 1))
    x = layers.LocallyConnected2D(2, 3, name="first")(pictures)
    x = layers.GlobalAveragePooling2D()(layers.LocallyConnected2D(2, 1, name="local")(x))
    for form in ("model.h5", "model.keras"):
        Model(pictures, layers.Dense(10)(x)).save(tmp_path / form)
        found = unknown_layers(description(tmp_path / form))
        assert found == ["first (LocallyConnected2D)", "local (LocallyConnected2D)"]


@pytest.mark.tensorflow
def test_a_description_that_names_functions_makes_none_of_them(inception, digits, tmp_path):
    import zipfile

    inception[0].save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    mark = tmp_path / "mark"
    call = {"module": "os", "class_name": "mkdir", "config": {"path": str(mark)}, "registered_name": "mkdir"}
    conv = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv2D")
    own = conv["config"]
    for key, message in (("kernel_initializer", None), ("activation", "activation"), ("strides", "objects")):
        conv["config"] = {**own, key: call}
        with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, json.dumps(config) if name == "config.json" else content)
        if message is None:
            float_graph(ModelSection(file=str(tmp_path / "bad.keras")), digits)
        else:
            with pytest.raises(UserError, match=message):
                float_graph(ModelSection(file=str(tmp_path / "bad.keras")), digits)
    assert not mark.exists()


@pytest.mark.tensorflow
def test_what_a_function_puts_in_the_library_s_place_is_not_taken_for_it(start, own, digits, monkeypatch):
    """Under the library's name in its module, or registered by that name."""
    import tensorflow as tf
    import tf_keras

    monkeypatch.setattr(tf_keras.layers, "Conv2D", tf_keras.layers.Conv2D)  # put back after the test
    monkeypatch.setattr(tf.nn, "relu", tf.nn.relu)
    (own / "own.py").write_text("""\
import tensorflow as tf
import tf_keras
from tf_keras import layers

class Conv2D(layers.Conv2D):
    def call(self, inputs):
        return -super().call(inputs)

def relu(x):
    return tf.abs(x)

def build(input_shape, classes):
    layers.Conv2D = Conv2D
    tf.nn.relu = relu
    x = pictures = layers.Input(input_shape)
    with tf_keras.utils.custom_object_scope({"relu": relu}):
        x = layers.Activation("relu", name="registered")(layers.Conv2D(2, 3, name="replaced")(x))
    x = layers.Flatten()(layers.Activation(tf.nn.relu, name="put")(x))
    return tf_keras.Model(pictures, layers.Dense(classes)(x))
""")
    message = (
        r"replaced \(Conv2D: own\.Conv2D is not.*registered \(Activation: activation own\.relu.*put \(Activation: act"
    )
    with pytest.raises(UserError, match=message):
        float_graph(ModelSection(function="own:build"), digits)


def test_the_files_of_a_function_are_its_module_and_what_that_imports_from_its_place(own):
    assert source_files("own:build") == [own / "own.py", own / "sizes.py"]
    with pytest.raises(UserError, match=r"own\.py has no function bild; it has build"):
        source_files("own:bild")
    with pytest.raises(UserError, match="no module nothing in"):
        source_files("nothing:build")


@pytest.mark.tensorflow
def test_layers_that_cannot_be_quantised_are_listed_and_stay_in_float_when_named(start, own, digits):
    from qatflow.quantisation.placement import quantised_kernels, quantised_tensors

    with pytest.raises(UserError, match=r"cannot be quantised: first/elu \(Elu\)\. Set model\.keep_in_float to auto"):
        float_graph(ModelSection(function="own:build"), digits)
    with pytest.raises(UserError, match="keep_in_float: no layer's name contains 'secnod'"):
        float_graph(ModelSection(function="own:build", keep_in_float=["elu", "secnod"]), digits)
    with pytest.raises(UserError, match="keep_in_float: no layer is named 'elu'"):
        float_graph(ModelSection(function="own:build", keep_in_float=["elu", "=elu"]), digits)
    named = float_graph(ModelSection(function="own:build", keep_in_float=["=first/elu"]), digits)
    found = float_graph(ModelSection(function="own:build", keep_in_float="auto"), digits)
    assert named.messages == found.messages
    assert "these layers have no int8 form and run in float, also on the device: first/elu (Elu)" in found.messages
    graph = float_graph(ModelSection(function="own:build", keep_in_float=["elu"]), digits).graph
    kernels = quantised_kernels(graph, skip=["elu"])
    assert set(kernels) == {"first", "head"}
    tensors = quantised_tensors(graph, kernels, ["elu"])
    assert tensors == {"input_1", "first", "first/elu", "global_average_pooling2d", "head"}


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise ValueError('no')", r"own:build: ValueError: no \(.*own\.py:2\)"),
        ("return 5", r"own:build returned builtins\.int, but must return a model of tf_keras"),
        (
            "import keras; return keras.Sequential()",
            r"own:build returned keras\..*Sequential, but must return a model of tf_keras",
        ),
    ],
)
def test_a_function_that_fails_is_one_message(start, own, digits, text, message):
    (own / "own.py").write_text(f"def build(input_shape, classes):\n    {text}\n")
    with pytest.raises(UserError, match=message):
        float_graph(ModelSection(function="own:build"), digits)


@pytest.mark.tensorflow
def test_weights_of_other_classes_get_a_new_head_where_they_are_to_be_trained(start, digits, tmp_path):
    from tf_keras import applications

    from qatflow.graph.store import load
    from qatflow.pretrained.prepare import WeightsSource, prepare

    applications.MobileNet((32, 32, 1), alpha=0.25, weights=None, classes=7).save_weights(tmp_path / "seven.h5")
    model, manifest = ModelSection(alpha=0.25), digits.folder / "manifest.json"
    with pytest.raises(UserError, match=r"have 7 classes, data/digits has 10: .* set pretrained\.fine_tune to true"):
        float_graph(model, digits, tmp_path / "seven.h5")
    made = float_graph(model, digits, tmp_path / "seven.h5", fine_tune=True)
    assert made.new_head == "conv_preds"
    assert "7 classes and the data 10: the last layer, conv_preds, is new" in made.messages[0]
    again = float_graph(model, digits, tmp_path / "seven.h5", fine_tune=True)
    assert np.array_equal(made.graph.weights["conv_preds/kernel"], again.graph.weights["conv_preds/kernel"])
    training = FloatTrainingSection(epochs=1, learning_rate=1e-4, augmentation="none", warmup_epochs=0)
    source = WeightsSource(tmp_path / "seven.h5", False, True)
    prepare(source, model, training, manifest, tmp_path / "out", tmp_path / "work", 1, 2)
    about = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (about["new_head"], about["said"]) == ("conv_preds", list(made.messages))
    trained = load(tmp_path / "out").weights
    assert trained["conv_preds/kernel"].shape == (1, 1, 256, 10)
    start_kernel = made.graph.weights["conv1/kernel"]
    assert 0 < np.abs(trained["conv1/kernel"] - start_kernel).max() < 0.5 * np.abs(start_kernel).max()


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50"])
def test_the_other_architectures_take_official_files_as_keras_writes_them(start, digits, tmp_path, name):
    from tf_keras import applications

    options = {"alpha": 0.35} if name == "MobileNetV2" else {}
    keras = getattr(applications, name)(input_shape=(32, 32, 1), weights=None, classes=10, **options)
    keras.save_weights(tmp_path / "w.h5")
    graph = float_graph(ModelSection(architecture=name, alpha=options.get("alpha")), digits, tmp_path / "w.h5").graph
    pictures = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32)
    expected = keras(pictures, training=False).numpy()
    np.testing.assert_allclose(outputs(graph, pictures), expected, rtol=0, atol=2e-5)
