"""What a Keras file's description shows before any job: inputs, outputs, pictures, classes, layers without int8."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from helpers.pictures import save
from qatflow.base.errors import UserError
from qatflow.config.load import load_config
from qatflow.graph.float_layers import float_layers
from qatflow.models.described_fit import described_classes, described_float_layers, ends_problem, picture_shape
from qatflow.models.own_file import check_description
from qatflow.models.saved.weights_file import description

pytestmark = pytest.mark.tensorflow


def described(model: Any, path: Path) -> dict[str, Any]:
    model.save(path)
    return check_description(description(path), str(path))


def test_layers_without_an_int8_form_are_those_of_the_graph_and_a_name_of_the_graph_means_them(tmp_path: Path):
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of

    inner = tf_keras.Sequential(
        [layers.Input((8, 8, 4)), layers.LayerNormalization(name="norm"), layers.Conv2D(4, 1, activation="gelu")],
        name="inner",
    )
    pictures = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="elu", name="first")(pictures)
    x = layers.LayerNormalization(name="norm")(x)  # the name that a layer of the inner model has, too
    x = inner(x)
    for kind in ("selu", "softplus", "exponential", "softsign", "mish", "relu", "swish", "hard_sigmoid", "linear"):
        x = layers.Activation(kind)(x)
    again = layers.ELU(0.5)
    x = again(again(x))
    x = layers.ReLU(4.0, negative_slope=0.1, threshold=0.5)(x)
    x = layers.ThresholdedReLU(0.3)(layers.ThresholdedReLU(0.0)(x))
    x = layers.Conv2D(4, 1, activation=layers.ReLU(threshold=0.2))(layers.PReLU()(x))
    x = layers.UnitNormalization()(layers.GroupNormalization(2)(layers.Softmax()(x)))
    x = layers.Reshape((64, 4))(x)
    x = layers.MultiHeadAttention(2, 2)(x, x)
    x = layers.GlobalAveragePooling1D()(layers.Attention()([x, x]))
    model = tf_keras.Model(pictures, layers.Dense(3, "softmax")(x))
    found = float_layers(graph_of(model))
    expected = Counter(kind for kind in found.values() if kind != "Softmax")  # that in the midst is left to the job
    assert expected.total() == 18
    for form in ("keras", "h5"):
        read = described(model, tmp_path / f"all.{form}")
        # `again` is one layer, and two operations
        assert Counter(described_float_layers(read, []).values()) + Counter(Elu=1) == expected
        for name, kind in found.items():
            if kind != "Softmax":
                named = described_float_layers(read, [name])
                assert kind not in named.values() or Counter(named.values())[kind] < expected[kind], name
        assert described_float_layers(read, list(found)) == {}
        assert described_float_layers(read, [f"={name}" for name in found]) == {}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of each of three classes, and folders that make no class."""
    import numpy as np

    root = tmp_path_factory.mktemp("classes")
    for place in range(30):
        save(root / f"class{place % 3}" / f"{place}.png", np.full((8, 8), place, np.uint8))
    (root / "empty").mkdir()
    save(root / ".hidden" / "1.png", np.zeros((8, 8), np.uint8))
    return root


def test_pictures_that_are_set_aside_are_counted_in_class_folders_alone(pictures: Path):
    def said(validation: int, test: int, **keys: Any) -> str:
        split = {"validation": validation, "test": test, "calibration": 1, **keys}
        try:
            load_config([], {"data": {"source": "folder", "path": str(pictures), **split}, "device": {"pictures": 1}})
        except UserError as error:
            return str(error)
        return ""

    assert said(14, 15) == ""
    assert "data.validation (15) and data.test (15) take all 30 files of the class folders in" in said(15, 15)
    assert said(29, 5, test_from="validation") == ""
    assert "data.validation (3,000) takes all 30 files" in said(3000, 5, test_from="validation")


def problems(model: Any, pictures: Path, folder: Path, keep: Any = (), **pretrained: Any) -> str:
    """Return what the configuration says about a model for grey 8×8 pictures of three classes."""
    model.save(folder / "model.keras")
    size = {"size": 8, "channels": 1, "resize": "stretch"}
    data = {"name": "p", "source": "folder", "path": str(pictures), "validation": 5, "test": 5, "calibration": 5}
    given = {
        "data": {**data, "preprocessing": size},
        "model": {"file": str(folder / "model.keras"), "keep_in_float": keep or []},
        "pretrained": {"source": "model", **pretrained},
        "device": {"pictures": 5},
    }
    try:
        load_config([], given)
    except UserError as error:
        return str(error)
    return ""


def classifier(end: int = 3, shape: tuple[int, int, int] = (8, 8, 1), **conv: Any) -> Any:
    import tf_keras
    from tf_keras import layers

    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, **conv)(given := layers.Input(shape)))
    return tf_keras.Model(given, layers.Dense(end, "sigmoid" if end == 1 else "softmax")(x))


def with_functions(pictures: Any) -> Any:
    """A classifier with a function outside of layers that is known, but not with these arguments."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    x = tf.reduce_mean(tf.nn.relu6(layers.Conv2D(4, 3)(pictures) * 0.5), -1, keepdims=True)
    return tf_keras.Model(pictures, layers.Dense(3)(layers.Flatten()(x)))


def test_what_does_not_fit_is_refused_by_the_configuration(pictures: Path, tmp_path: Path):
    import tf_keras
    from tf_keras import layers

    one, two = layers.Input((8, 8, 1)), layers.Input((8, 8, 1))
    x = layers.GlobalAveragePooling2D()(layers.Add()([one, two]))
    both = tf_keras.Model([one, two], layers.Dense(3)(x))
    ends = tf_keras.Model(one, [layers.Dense(3)(layers.Flatten()(one)), layers.Flatten()(one)])
    named = tf_keras.Model(one, {"a": layers.Dense(3)(layers.Flatten()(one)), "b": layers.Flatten()(one)})
    for model, said in {
        both: "the model has 2 inputs and 1 output; a classifier has one of each",
        ends: "the model has 1 input and 2 outputs; a classifier has one of each",
        named: "the model has 1 input and 2 outputs",
        classifier(shape=(8, 10, 3)): "takes pictures of 8×10×3, and those of data/p are 8×8×1: set data.preprocessing",
        classifier(5): "the weights have 5 classes, data/p has 3: a new last layer has to be trained",
        tf_keras.Sequential([layers.Conv2D(3, 3, input_shape=(8, 8, 1)), layers.MaxPooling2D()]): (
            "the model's output has 3 axes for a picture, and a classifier has one value per class: end the model in"
        ),
        with_functions(one): "tf.math.reduce_mean: over the axes -1 of a tensor of rank 4; height and width are known",
        classifier(activation="gelu", name="wave"): r"cannot be quantised: wave/gelu (Gelu). Set model.keep_in_float",
    }.items():
        assert said in (found := problems(model, pictures, tmp_path)) and "has 1 problem" in found


def test_what_may_fit_is_left_to_the_job(pictures: Path, tmp_path: Path):
    assert problems(classifier(), pictures, tmp_path) == ""
    assert problems(classifier(5), pictures, tmp_path, fine_tune=True) == ""
    assert problems(classifier(1), pictures, tmp_path) == ""
    gelu = classifier(activation="gelu", name="wave")
    for keep in ("auto", ["wav"], ["gelu"]):
        assert problems(gelu, pictures, tmp_path, keep) == ""
    assert "wave/gelu" in problems(gelu, pictures, tmp_path, ["dense"])


def test_descriptions_of_other_forms(tmp_path: Path):
    import tf_keras
    from tf_keras import layers

    whole = tf_keras.Sequential(
        [classifier(4), layers.Dense(6, "relu"), layers.Dropout(0.1), layers.Dense(2), layers.Softmax()]
    )
    for form in ("keras", "h5"):
        read = described(whole, tmp_path / f"nested.{form}")
        assert (picture_shape(read), described_classes(read), ends_problem(read)) == ((8, 8, 1), None, "")
        flat = tf_keras.Sequential(
            [
                layers.Conv2D(2, 3, input_shape=(8, 9, 1)),
                layers.Flatten(),
                layers.Dense(7),
                layers.Activation("softmax"),
            ]
        )
        read = described(flat, tmp_path / f"flat.{form}")
        assert (picture_shape(read), described_classes(read), ends_problem(read)) == ((8, 9, 1), 7, "")
        places = tf_keras.Sequential([layers.Input((None, None, 1)), layers.Conv2D(2, 3), layers.Dense(7)])
        read = described(places, tmp_path / f"places.{form}")
        assert (picture_shape(read), described_classes(read)) == (None, None)
