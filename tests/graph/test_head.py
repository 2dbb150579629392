"""What a model ends in: softmax, sigmoids or logits by Keras' own values, from float to int8; else refused by name."""

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.config.sections.model import ModelSection
from qatflow.graph.float_layers import float_layers
from qatflow.graph.graph import Graph, Node
from qatflow.graph.head import classifier_head, head_of
from qatflow.graph.operations import (
    Add,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool,
    Identity,
    Input,
    Multiply,
    Operation,
    Relu,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
)
from qatflow.quantisation.placement import QuantSettings

SETTINGS = QuantSettings(8, 8, "abs_max", "moving_average_abs_max")
PICTURES = np.random.default_rng(3).normal(size=(16, 8, 8, 1)).astype(np.float32)


def ending(*behind: tuple[str, Operation], classes: int = 3) -> Graph:
    """A mean of a 1 × 1 convolution, with these nodes in a row behind it."""
    nodes = [Node("input", Input((4, 4, 2))), Node("conv", Conv2D((1, 1), "same"), ("input",))]
    nodes.append(Node("mean", GlobalAveragePool(keepdims=True), ("conv",)))
    for name, operation in behind:
        nodes.append(Node(name, operation, (nodes[-1].name,)))
    return Graph(tuple(nodes), (nodes[-1].name,), {"conv/kernel": np.ones((1, 1, 2, classes), np.float32)})


FLAT = ("flat", Reshape((3,)))


@pytest.mark.parametrize(
    ("behind", "kind", "end", "logits", "left_out"),
    [
        ((FLAT, ("p", Softmax())), "softmax", "p", "flat", {"p"}),
        ((("p", Softmax()), FLAT), "softmax", "p", "mean", {"p"}),
        ((("p", Softmax()), ("d", Dropout(0.1)), ("same", Identity()), FLAT), "softmax", "p", "mean", {"p", "d"}),
        ((FLAT, ("p", Sigmoid())), "sigmoid", "p", "flat", {"p"}),
        ((("p", Sigmoid()), FLAT), "sigmoid", "p", "mean", {"p"}),
        ((FLAT,), "logits", "mean", "mean", set()),
        ((("d", Dropout(0.1)), FLAT), "logits", "mean", "mean", set()),
    ],
)
def test_the_end_is_looked_through_for_what_makes_the_probabilities(behind, kind, end, logits, left_out):
    head, found = classifier_head(ending(*behind))
    assert (found, head.end, head.logits, head.left_out) == (kind, end, logits, left_out)
    assert float_layers(ending(*behind)) == {}


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        ((FLAT, ("act", Relu())), r"ends in act \(Relu\).*Dense\(classes, activation=\"softmax\"\)"),
        ((("act", Tanh()), FLAT), r"ends in act \(Tanh\)"),
        ((("flat", Reshape((3,))), ("out", Dense("relu"))), r"ends in out, with the activation relu"),
        (
            (("p", Softmax()), ("pool", GlobalAveragePool(keepdims=False))),
            r"pool \(GlobalAveragePool\).*of p \(Softmax",
        ),
    ],
)
def test_any_other_end_is_refused_by_name(behind, message):
    with pytest.raises(UserError, match=message):
        classifier_head(ending(*behind))


def test_a_softmax_over_the_channels_of_each_place_is_no_classifier_s():
    graph = ending(("p", Softmax()), ("flat", Reshape((48,))))
    nodes = [replace(node, inputs=("conv",)) if node.name == "p" else node for node in graph.nodes]
    with pytest.raises(UserError, match=r"p \(Softmax\), whose values have the shape \(4, 4, 3\)"):
        classifier_head(replace(graph, nodes=tuple(nodes)))


def test_sums_are_logits_and_products_and_sums_of_probabilities_are_not():
    base = ending(FLAT, ("p", Softmax()))
    both = (*base.nodes, Node("other", Sigmoid(), ("flat",)))
    assert (
        head_of(replace(base, nodes=(*both, Node("sum", Add(), ("flat", "flat"))), outputs=("sum",))).kind == "logits"
    )
    for operation, inputs in ((Add(), ("p", "p")), (Multiply(), ("flat", "other"))):
        graph = replace(base, nodes=(*both, Node("out", operation, inputs)), outputs=("out",))
        assert "out" in head_of(graph).problem


# what Keras computes


def _keras(form: str, classes: int):
    from tf_keras import Model, layers

    pictures = layers.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(pictures)
    if form == "flattened softmax":
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return Model(pictures, layers.Flatten()(layers.Conv2D(classes, 1, activation="softmax", name="head")(x)))
    if form == "pooled sigmoid":
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(classes, 3, name="head")(x))
        return Model(pictures, layers.Activation("sigmoid", name="p")(x))
    if form == "normed sigmoid":
        x = layers.BatchNormalization()(layers.Dense(classes, name="head")(layers.GlobalAveragePooling2D()(x)))
        return Model(pictures, layers.Activation("sigmoid", name="p")(x))
    if form == "flattened sigmoid":
        x = layers.Conv2D(classes, 4, activation="sigmoid", name="head")(x)
        return Model(pictures, layers.Dropout(0.2)(layers.Flatten()(x)))
    activation = {"softmax": "softmax", "sigmoid": "sigmoid", "logits": None, "relu": "relu"}[form]
    return Model(pictures, layers.Dense(classes, activation, name="head")(layers.GlobalAveragePooling2D()(x)))


def keras(form: str, classes: int):
    """A small Keras model with that end, of weights that are not trivial."""
    import tf_keras

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(7)
    model = _keras(form, classes)
    random = np.random.default_rng(8)
    for weight in model.weights:
        spread = (
            random.uniform(0.2, 1.5, weight.shape) if "variance" in weight.name else random.normal(0, 0.3, weight.shape)
        )
        weight.assign(spread)
    return model


def translated(form: str, classes: int) -> tuple[Graph, np.ndarray]:
    """Its graph, and Keras' own outputs for `PICTURES`."""
    from qatflow.models.from_keras import graph_of

    model = keras(form, classes)
    return graph_of(model), np.asarray(model.predict(PICTURES, verbose=0))


def on_litert(graph: Graph) -> np.ndarray:
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model

    return Model(convert(graph).content).outputs(PICTURES)


def adopted(form: str, classes: int, data_classes: int, *, loaded: bool, fine_tune: bool, monkeypatch):
    """What make_pretrained makes of the model for data of so many classes."""
    from qatflow.pretrained import float_graph

    model = keras(form, classes)
    monkeypatch.setattr(float_graph, "_keras_model", lambda *_: model)
    monkeypatch.setattr(float_graph, "tensors", lambda *_: (PICTURES, None))
    data: Any = SimpleNamespace(
        labels_from="source",
        dataset="d",
        classes=data_classes,
        labels=tuple(f"class {i}" for i in range(data_classes)),
        preprocessing=SimpleNamespace(shape=(8, 8, 1)),
        splits={"train": SimpleNamespace(count=1000)},
    )
    return float_graph.float_graph(ModelSection(function="own:build"), None, loaded, data, fine_tune, 1), model


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", ["softmax", "flattened softmax", "sigmoid", "flattened sigmoid", "logits"])
def test_training_s_loss_and_hits_are_those_of_keras(form):
    import tensorflow as tf
    import tf_keras

    from qatflow.training.keras_model import training_model
    from qatflow.training.loss import evaluator

    graph, outputs = translated(form, 6)
    labels = np.arange(16) % 6
    loss, top1, top5 = evaluator(training_model(graph, seed=0, step=0))(
        tf.data.Dataset.from_tensor_slices((PICTURES, labels.astype(np.int64))).batch(5)
    )
    if "sigmoid" in form:  # Keras takes the mean over the classes
        expected = 6 * tf_keras.losses.BinaryCrossentropy()(np.eye(6)[labels], outputs)
    else:
        expected = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=form == "logits")(labels, outputs)
    assert loss == pytest.approx(float(expected), rel=1e-4)
    ranks = np.argsort(-outputs, axis=1, kind="stable")
    assert top1 == np.mean(ranks[:, 0] == labels)
    assert top5 == np.mean((ranks[:, :5] == labels[:, None]).any(axis=1))


@pytest.mark.tensorflow
def test_label_smoothing_spreads_the_target_of_sigmoids_as_that_of_a_softmax():
    from qatflow.training.loss import cross_entropy

    logits, labels = np.float32([[1.5, -2.0, 0.3]]), [2]
    targets, p = np.asarray([0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3]), 1 / (1 + np.exp(-logits[0]))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum()
    assert float(cross_entropy(labels, logits, 0.1, "sigmoid")[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", ["sigmoid", "pooled sigmoid", "normed sigmoid", "flattened sigmoid", "logits"])
def test_one_value_becomes_two_that_compute_the_same(form, monkeypatch):
    found, model = adopted(form, 1, 2, loaded=False, fine_tune=False, monkeypatch=monkeypatch)
    p = np.asarray(model.predict(PICTURES, verbose=0))
    assert p.std() > 0.005, "the pictures are all alike, so nothing is shown"
    outputs = on_litert(found.graph)
    expected = np.concatenate([-p / 2, p / 2] if form == "logits" else [1 - p, p], axis=1)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=2e-6)
    assert head_of(found.graph).kind == ("logits" if form == "logits" else "softmax")
    assert "binary classifier" in found.messages[0] and "class 1, class 1" in found.messages[0]


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", ["sigmoid", "logits"])
def test_one_value_for_more_classes_is_refused_or_replaced(form, monkeypatch):
    for loaded, fine_tune in ((False, True), (True, False)):
        with pytest.raises(UserError, match=r"one .*binary classifier, and data/d has 4 classes.*Dense\(4, activation"):
            adopted(form, 1, 4, loaded=loaded, fine_tune=fine_tune, monkeypatch=monkeypatch)
    found, _ = adopted(form, 1, 4, loaded=True, fine_tune=True, monkeypatch=monkeypatch)
    outputs = on_litert(found.graph)
    assert found.new_head == "head" and outputs.shape == (16, 4)
    if form == "sigmoid":
        np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


@pytest.mark.tensorflow
def test_new_sigmoids_begin_with_the_share_of_one_class(monkeypatch):
    found, _ = adopted("sigmoid", 3, 5, loaded=True, fine_tune=True, monkeypatch=monkeypatch)
    assert "sigmoids (head/sigmoid)" in found.messages[1]
    np.testing.assert_allclose(1 / (1 + np.exp(-found.graph.weights["head/bias"])), np.full(5, 1 / 5), rtol=1e-5)


@pytest.mark.tensorflow
def test_another_end_is_refused_before_any_training(monkeypatch):
    with pytest.raises(UserError, match=r"ends in head/relu \(Relu\), which does not end a classifier"):
        adopted("relu", 4, 4, loaded=False, fine_tune=True, monkeypatch=monkeypatch)


@pytest.mark.tensorflow
def test_another_end_is_refused_from_the_file_alone(tmp_path):
    import tf_keras
    from tf_keras import layers

    from qatflow.config.load import load_config
    from qatflow.models.described_end import end_problem
    from qatflow.models.saved.weights_file import description

    def saved(model, form: str) -> str:
        model.save(tmp_path / f"m.{form}")
        return end_problem(description(tmp_path / f"m.{form}"))

    inner = tf_keras.Sequential([layers.Input((8,)), layers.Dense(4, "tanh"), layers.Reshape((4,))], name="inner")
    for form, (end, said) in itertools.product(
        ("keras", "h5"),
        {
            "relu": (layers.Dense(4, "relu", name="last"), "ends in last (relu), which does not end a classifier"),
            "elu": (layers.ELU(name="last"), "ends in last (ELU), which does not end a classifier"),
            "inner": (inner, "(tanh), which does not end a classifier"),
        }.values(),
    ):
        pictures = layers.Input((8, 8, 1))
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(pictures))
        assert said in saved(tf_keras.Model(pictures, layers.Dropout(0.1)(end(x))), form)
    with pytest.raises(UserError, match=r"model\.file: the model ends in head \(relu\)"):
        saved(keras("relu", 4), "h5")
        load_config([], {"model": {"file": str(tmp_path / "m.h5")}, "pretrained": {"source": "model"}})
    for form in ("softmax", "flattened softmax", "sigmoid", "flattened sigmoid", "pooled sigmoid", "logits"):
        assert saved(keras(form, 4), "h5") == saved(keras(form, 4), "keras") == ""


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", ["flattened softmax", "sigmoid", "flattened sigmoid"])
def test_probabilities_are_in_float_on_the_device_whoever_quantises(form):
    """Sixteen values of a probability below 1/256 would all be 0 in int8."""
    from qatflow.ptq.quantise import quantise
    from qatflow.quantisation.as_if_quantised import as_if_quantised
    from qatflow.tflite.lower import convert
    from qatflow.tflite.read import operators
    from qatflow.tflite.run import Model

    graph, expected = translated(form, 6)
    trained = convert(as_if_quantised(graph, SETTINGS)).content
    after = quantise(convert(graph).content, PICTURES)
    for content in (trained, after):
        found = operators(content)
        place = next(i for i, one in enumerate(found) if one.name in ("SOFTMAX", "LOGISTIC"))
        tail = found[place:]
        assert {one.inputs[0].dtype for one in tail} == {one.outputs[0].dtype for one in tail} == {"FLOAT32"}
        assert found[place - 1].name == "DEQUANTIZE"
        assert {one.name for one in tail} <= {"SOFTMAX", "LOGISTIC", "RESHAPE"}
    np.testing.assert_allclose(Model(after).outputs(PICTURES), expected, rtol=0, atol=0.08)


@pytest.mark.tensorflow
def test_soft_labels_are_refused_between_sigmoids():
    from qatflow.compress.strategies.distillers import DISTILLERS
    from qatflow.config.recipe.recipe import CompressConfig

    def distiller(section: dict):
        made = CompressConfig.model_validate({"distillers": {"d": section}, "compressor": {"epoch": 1}}).distillers["d"]
        return DISTILLERS[type(made)](made)

    sigmoids, softmax = (ending(FLAT, ("p", operation)) for operation in (Sigmoid(), Softmax()))
    soft = distiller({"class": "SoftLabelDistiller"})
    for student, teacher, whose in ((sigmoids, sigmoids, "student"), (softmax, sigmoids, "teacher")):
        with pytest.raises(UserError, match=rf"of the {whose} leads to sigmoids.*L2Distiller"):
            soft.resolved("d", student, teacher)
    assert soft.resolved("d", softmax, softmax) == (["flat"], ["flat"])
    names = {"student_feature_map": "flat", "teacher_feature_map": "flat"}
    assert distiller({"class": "L2Distiller", **names}).resolved("d", sigmoids, sigmoids) == (["flat"], ["flat"])


# trained, in float and for int8


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.mark.tensorflow
def test_sigmoids_are_trained_for_int8_by_the_loss_of_what_the_device_puts_out(digits, tmp_path):
    import tf_keras
    from tf_keras import layers

    from helpers.compression import compressed
    from qatflow.data.pipeline import evaluation_batches
    from qatflow.data.reader import tensors
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.models.from_keras import graph_of
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model
    from qatflow.training.loss import evaluator

    tf_keras.utils.set_random_seed(1)
    inputs = layers.Input((32, 32, 1))
    x = layers.Conv2D(16, 5, strides=4, activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    start = graph_of(tf_keras.Model(inputs, layers.Flatten()(layers.Conv2D(10, 3, activation="sigmoid")(x))))
    epochs = {"learning_rate": 0.02, "batch_size": 32, "augmentation": "none"}
    made, history = compressed(digits, tmp_path, {"int8": {"class": "QuantizationStrategy"}}, 3, start, **epochs)
    pictures, labels = tensors(digits, "validation")
    p = np.clip(Model(convert(made).content).outputs(pictures).astype(np.float64), 1e-12, 1 - 1e-12)
    right = np.eye(10)[labels]
    expected = -(right * np.log(p) + (1 - right) * np.log(1 - p)).sum(axis=1).mean()
    last = history[-1]
    assert last.validation_loss == pytest.approx(expected, rel=0.01)
    assert last.validation_top1 == pytest.approx((p.argmax(axis=1) == labels).mean(), abs=0.02)
    loss, top1, _ = evaluator(fake_quant_model(made))(evaluation_batches(digits, "validation"))
    assert (loss, top1) == pytest.approx((last.validation_loss, last.validation_top1), rel=1e-5)
    assert top1 > 0.3 and history[0].train_loss > last.train_loss > 0
