"""Models and weights that Keras 3 saved: the same outputs as Keras 3 has, or one message. It is not loaded here."""

import copy
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from helpers import keras_3_models as written
from qatflow.base.errors import UserError
from qatflow.models.own_file import check_description
from qatflow.models.saved.keras_3 import OTHER_MEANING
from qatflow.models.saved.keras_3_operations import OPERATIONS
from qatflow.models.saved.weights_file import description

FORMS = ("keras", "h5")
NOT_IN_KERAS_3 = {"RandomHeight", "RandomWidth", "ThresholdedReLU", "TFOpLambda", "SlicingOpLambda"}
"""Kinds that Keras 3 does not have; instead of the last two it has operations."""
LIBRARY = ("keras.layers", "keras.src.applications")

REFUSED = {
    "registered": r"mine \((own>)?Dense: own>Dense is not Keras' own class",
    "function": r"mine \(Activation: activation own>relu_of_mine is not Keras' own",
    "lambda": r"mine \(Lambda: its code cannot be translated",
    "lambda_activation": r"mine \(Activation: activation that is written as code",
    "own_class": r"mine \(Conv2D: Conv2D is not Keras' own class",
    "crop": r"mine \(RandomCrop: outside of training it crops, resizes or does nothing, depending on the version",
    "divided": r"true_divide\w* \(TrueDivide: tf\.math\.divide: divides by a tensor",
    "over_channels": r"mean(_\d)? \(Mean: tf\.math\.reduce_mean: over the axes -1 of a tensor of rank 4",
    "of_the_batch": r"\(Transpose: tf\.transpose: perm=\[1, 0, 2, 3\] moves the axis of the batch",
    "reflected": r"\(Pad: tf\.pad: pads with other values than zeros",
    "cubic": r"\(Resize: tf\.image\.resize: known are bilinear and nearest",
    "integers": r"\(Cast: tf\.cast: casts to int32",
    "cubed": r"\(Power: tf\.math\.pow: only the square is known",
    "every_other": r"\(GetItem: tf\.__operators__\.getitem: a part of a tensor",
    "subclass": r"\(Own: Own is a class of your own",
    "mixed": r"mine \(Conv2D: computes in mixed_float16; build the model with keras\.config\.set_dtype_policy",
    "quantised": r"mine \(Dense: is quantised by Keras \(int8\); give the float model.*; head \(Dense: is quantised",
    "lora": r"mine \(Dense: has LoRA weights \(lora_rank 2\)",
    "training": r"mine \(BatchNormalization: is called with training=True",
    "operation": r"cumsum(_1)? \(.*Cumsum: an operation outside of a layer; known are Absolute, Add, ",
}
"""By the name of its file, what the message says of it."""


SAVED = [(name, form) for name in written.MODELS for form in FORMS if (name, form) != ("not_in_h5", "h5")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what Keras 3 saved, in a process of its own."""
    folder = tmp_path_factory.mktemp("keras_3")
    done = subprocess.run([sys.executable, written.__file__, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def described(path: Path) -> dict[str, Any]:
    """Return the checked description, as the configuration's checks read it: without TensorFlow."""
    value = description(path)
    check_description(value, str(path))
    return value


@pytest.mark.tensorflow
@pytest.mark.parametrize(("name", "form"), [*SAVED, *((name, "keras") for name in written.APPLICATIONS)])
def test_a_model_of_keras_3_computes_what_keras_3_does(saved: Path, name: str, form: str):
    from qatflow.models.from_keras import translated
    from qatflow.models.own_file import model_of
    from qatflow.pretrained.keras_weights import load_weights
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model

    path = saved / f"{name}.{form}"
    keras = model_of(described(path), path.name)
    load_weights(keras, path, "the model")
    pictures = np.load(saved / ("pictures_of_32.npy" if name in written.APPLICATIONS else "pictures.npy"))
    expected = np.load(saved / f"{name}.npy")
    outputs = Model(convert(translated(keras).graph).content).outputs(pictures)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.tensorflow
def test_every_kind_and_activation_known_here_is_in_the_model_that_is_compared(saved: Path):
    from qatflow.models.keras.activations import MAKE
    from qatflow.models.keras.table import TRANSLATIONS

    kinds = set()
    for name in ("everything", "not_in_h5"):
        layers = parts(saved / f"{name}.keras")[0]["config"]["layers"]
        kinds |= {layer["class_name"] for layer in layers if layer["module"].startswith(LIBRARY)}
    missing = set(TRANSLATIONS) - kinds - NOT_IN_KERAS_3
    assert not missing, f"give {missing} a use in tests/helpers/keras_3_models.py"
    layers = parts(saved / "operations.keras")[0]["config"]["layers"]
    assert set(OPERATIONS) <= {layer["class_name"] for layer in layers if layer["module"].startswith("keras.src.ops.")}
    assert {*MAKE, *OTHER_MEANING} <= set(written.ACTIVATIONS)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_exactly_is_refused_by_name(saved: Path, name: str):
    files = [path for form in FORMS if (path := saved / f"{name}.{form}").exists()]
    assert files
    for path in files:
        with pytest.raises(UserError, match=REFUSED[name]) as refused:
            described(path)
        assert "\n" not in str(refused.value)


@pytest.mark.tensorflow
def test_what_keras_3_freezes_and_drops_is_known_from_its_file(saved: Path):
    """Dropout has training=False in the file, which is a default and not the user's."""
    from qatflow.graph.operations import Dropout, SpatialDropout
    from qatflow.models.from_keras import translated
    from qatflow.models.own_file import model_of

    for form in FORMS:
        made = translated(model_of(described(saved / f"nested.{form}"), form))
        assert set(made.untrained) == {"same", "shape", "norm", "still"}
        assert made.graph.frozen >= {"base/norm", "still", "shape"} and "same" not in made.graph.frozen
        assert made.graph.moving_statistics == {"base/norm", "norm"}
        assert isinstance(made.graph.node("drop").operation, SpatialDropout)
    every = translated(model_of(described(saved / "everything.keras"), "everything")).graph
    assert any(isinstance(node.operation, Dropout) for node in every.nodes)


@pytest.mark.tensorflow
def test_a_model_with_two_inputs_is_refused(saved: Path):
    from qatflow.models.from_keras import translated
    from qatflow.models.own_file import model_of

    with pytest.raises(UserError, match="the model has 2 inputs and 1 output; a classifier has one of each"):
        translated(model_of(described(saved / "two_inputs.keras"), "two"))


@pytest.mark.tensorflow
def test_weights_alone_are_put_into_the_same_network_of_tf_keras(saved: Path):
    from qatflow.models.architectures import mobilenet_v1
    from qatflow.pretrained.keras_weights import load_weights

    model = mobilenet_v1((32, 32, 1), 10, 0.25, 0.0)
    load_weights(model, saved / "mobilenet.weights.h5", "MobileNetV1")
    outputs = model(np.ones((1, 32, 32, 1), np.float32), training=False).numpy()
    np.testing.assert_allclose(outputs, np.load(saved / "mobilenet.npy"), rtol=0, atol=1e-6)


@pytest.mark.tensorflow
def test_layers_of_one_shape_get_their_weights_by_name(saved: Path):
    """The same layers in another order: by the order alone, each would get the weights of the other."""
    import tf_keras

    from qatflow.pretrained.keras_weights import load_weights

    model = written.sides(tf_keras, ("right", "left"))
    load_weights(model, saved / "sides.weights.h5", "the model")
    outputs = model(np.load(saved / "pictures.npy"), training=False).numpy()
    np.testing.assert_allclose(outputs, np.load(saved / "sides.npy"), rtol=0, atol=1e-5)


def archive(path: Path, config: Any, weights: bytes, version: str = "3.15.1") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": version}))
        file.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        file.writestr("model.weights.h5", weights)
    return path


def parts(path: Path) -> tuple[Any, bytes]:
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json")), file.read("model.weights.h5")


def test_a_version_that_is_not_known_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"a model of Keras 4\.0\.0; known are the versions 2 \(tf-keras\) and 3"):
        description(archive(tmp_path / "new.keras", {}, b"", "4.0.0"))


@pytest.mark.tensorflow
def test_damaged_files_are_one_message(saved: Path, tmp_path: Path):
    """Cut at many places, and with values that Keras does not write; no damage is anything else than a UserError."""
    whole = (saved / "nested.keras").read_bytes()
    path = tmp_path / "cut.keras"
    for end in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match=r"cut\.keras"):
            described(path)
    config, weights = parts(saved / "nested.keras")
    random = np.random.default_rng(0)
    ways = list(places(config))
    refused = 0
    for _ in range(300):
        mutant = copy.deepcopy(config)
        way = ways[random.integers(len(ways))]
        parent = mutant
        for key in way[:-1]:
            parent = parent[key]
        if random.random() < 0.2:
            del parent[way[-1]]
        else:
            parent[way[-1]] = copy.deepcopy(VALUES[random.integers(len(VALUES))])
        try:
            described(archive(path, mutant, weights))
        except UserError as error:
            assert "cut.keras" in str(error)
            refused += 1
    assert refused > 50


VALUES: Any = (
    None, -1, 0, 1.5, "x", True, [], [1], {}, {"class_name": "Conv2D"}, [[[["x"]]]], {"class_name": "__keras_tensor__"},
    {"class_name": "function", "module": "os", "config": "system", "registered_name": "system"},
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*way, key)
        yield from places(inner, (*way, key))


@pytest.mark.tensorflow
def test_weights_that_are_missing_or_of_another_shape_are_named(saved: Path, tmp_path: Path):
    import io

    from qatflow.models.own_file import model_of
    from qatflow.pretrained.keras_weights import load_weights

    config, content = parts(saved / "nested.keras")
    for change, message in (
        (lambda group: group.__delitem__("0"), "own.keras is damaged"),
        (lambda group: (group.__delitem__("0"), group.__setitem__("0", np.zeros((3, 3), "f"))), "has shape"),
        (
            lambda group: (group.__delitem__("0"), group.__setitem__("0", np.array([b"x"]))),
            "other than arrays of floats",
        ),
    ):
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            change(file["layers/functional/layers/conv2d/vars"])
        path = archive(tmp_path / "own.keras", config, buffer.getvalue())
        keras = model_of(described(path), path.name)
        with pytest.raises(UserError, match=message):
            load_weights(keras, path, "the model")
