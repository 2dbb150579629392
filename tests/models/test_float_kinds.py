"""Layers of Keras that run in float on the device, or become matrix products: values, files, refusals, training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.small_data import prepared_digits
from helpers.transformer import transformer
from qatflow.base.picture_size import square
from qatflow.data.preprocess import Preprocessing
from qatflow.graph.float_layers import float_layers
from qatflow.graph.operations import Attention, Dense, GroupNorm, LayerNorm, PictureDropout
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model

pytestmark = pytest.mark.tensorflow
INT8 = {"int8": {"class": "QuantizationStrategy"}}
EIGHT = Preprocessing(square(8), "stretch", 1, (127.5,), (127.5,))
PICTURES = np.random.default_rng(1).normal(size=(6, 8, 8, 1)).astype(np.float32)


def mixer(own: int = 3) -> Any:
    """Norms of every kind, attention in three spellings, Einstein sums; `own` layers of the applications."""
    import tf_keras
    from tf_keras import layers
    from tf_keras.src.applications.convnext import LayerScale, StochasticDepth
    from tf_keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    pictures = layers.Input((8, 8, 1))
    x = layers.Conv2D(8, 2, 2)(pictures)
    x = layers.GroupNormalization(4)(x)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.LayerNormalization(epsilon=1e-6)(y)
    y = layers.Dense(8)(layers.Dense(16, activation="gelu")(y))
    x = layers.Add()([x, StochasticDepth(0.1)(LayerScale(0.1, 8)(y)) if own >= 2 else y])
    y = layers.GroupNormalization(-1, scale=False)(layers.Conv2D(8, 1)(x))
    x = CustomScaleLayer(0.3)([x, y]) if own == 3 else layers.Add()([x, y])
    tokens = layers.Reshape((16, 8))(x)
    y = layers.LayerNormalization(center=False)(tokens)
    attended = layers.MultiHeadAttention(3, 4, value_dim=2, dropout=0.1)(y, y)
    few = layers.Reshape((4, 8))(layers.Conv2D(8, 2, 2)(x))
    attended = layers.Add()([attended, layers.MultiHeadAttention(2, 4, use_bias=False)(y, value=few, key=few)])
    attended = layers.Add()([attended, layers.Attention()([y, few])])
    tokens = layers.Add()([tokens, layers.UnitNormalization()(attended)])
    x = layers.EinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="e", activation="gelu")(tokens)
    x = layers.EinsumDense("abxy,xyz->abz", (None, 8))(x)
    x = layers.EinsumDense("...x,xy->...y", 8, bias_axes="y")(x)
    x = layers.GlobalAveragePooling2D()(layers.Reshape((4, 4, 8))(x))
    return tf_keras.Model(pictures, layers.Dense(10, activation="softmax")(x))


def filled(own: int = 3) -> Any:
    """The same with biases, gammas and betas that are not trivial."""
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    made = mixer(own)
    random = np.random.default_rng(4)
    for weight in made.weights:
        weight.assign(weight + random.normal(0, 0.2, weight.shape))
    return made


def test_every_layer_computes_what_keras_computes():
    from qatflow.models.from_keras import translated
    from qatflow.pretrained.compared import check_same

    model = filled()
    found = translated(model)
    check_same(model, found, PICTURES)  # each layer, and the .tflite
    expected = model.predict(PICTURES, verbose=0)
    np.testing.assert_allclose(Model(convert(found.graph).content).outputs(PICTURES), expected, rtol=0, atol=1e-5)
    kinds = float_layers(found.graph)
    assert sorted(kinds.values()) == sorted(
        ["GroupNorm"] * 2 + ["LayerNorm"] * 2 + ["Gelu"] * 2 + ["Attention"] * 3 + ["UnitNorm"]
    )
    assert found.graph.node("multi_head_attention/attention").operation == Attention(3, 0.5)
    assert {n.operation for n in found.graph.nodes if isinstance(n.operation, LayerNorm)} == {
        LayerNorm(1e-6), LayerNorm(1e-3),
    }  # fmt: skip
    assert found.graph.node("group_normalization_1").operation == GroupNorm(8, 1e-3)
    products = [node for node in found.graph.nodes if isinstance(node.operation, Dense)]
    assert len(products) == 2 + 4 + 4 + 3 + 1
    assert found.graph.node("stochastic_depth").operation == PictureDropout(0.1)
    assert found.notes == ("dropout within attention is not used here: multi_head_attention",)


@pytest.mark.parametrize(("form", "own"), [("h5", 0), ("keras", 2)])
def test_a_file_gives_the_same_model(tmp_path, form, own):
    from qatflow.models.own_file import model_of
    from qatflow.models.saved.weights_file import description
    from qatflow.pretrained.keras_weights import load_weights

    model, path = filled(own), tmp_path / f"m.{form}"
    model.save(path)
    read = model_of(description(path), str(path))
    load_weights(read, path, "the model")
    np.testing.assert_array_equal(read(PICTURES), model(PICTURES))


def test_a_class_of_the_applications_is_known_only_where_the_file_says_whose_it_is(tmp_path):
    from qatflow.models.own_file import unknown_layers
    from qatflow.models.saved.weights_file import description

    mixer(2).save(tmp_path / "m.h5")
    said = "the file does not say whether it is tf_keras' own class: save a .keras file, or set model.function"
    assert [problem.split(" ", 1)[1] for problem in unknown_layers(description(tmp_path / "m.h5"))] == [
        f"(LayerScale: {said})", f"(StochasticDepth: {said})",
    ]  # fmt: skip
    mixer(3).save(tmp_path / "m.keras")
    (problem,) = unknown_layers(description(tmp_path / "m.keras"))
    assert "CustomScaleLayer is not tf_keras' own class" in problem


def _over_axis(k: Any, x: Any) -> Any:
    return k.MultiHeadAttention(2, 4, attention_axes=2)(x, x)


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "layer_normalization.*axis .*only the last axis": lambda k, x: k.LayerNormalization(axis=[1, 2])(x),
    "group_normalization.*axis 1": lambda k, x: k.GroupNormalization(1, axis=1)(x),
    "equation abc,bd->adc: only products of the last": lambda k, x: k.EinsumDense("abc,bd->adc", (5, 4))(x),
    "called with use_causal_mask; known are": lambda k, x: k.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True),
    "attention over the places": lambda k, x: _over_axis(k, k.Reshape((6, 2, 2))(x)),
    "use_scale and score_mode": lambda k, x: k.Attention(use_scale=True)([x, x]),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_not_known_is_refused_by_name(message):
    import tf_keras
    from tf_keras import layers

    from qatflow.base.errors import UserError
    from qatflow.models.from_keras import graph_of

    tf_keras.backend.clear_session()
    pictures = layers.Input((6, 4))
    with pytest.raises(UserError, match=message):
        graph_of(tf_keras.Model(pictures, layers.Flatten()(REFUSED[message](layers, pictures))))


def test_it_trains_for_int8_with_its_integers_kept(tmp_path):
    from helpers.compression import compressed
    from qatflow.data.pipeline import evaluation_batches
    from qatflow.data.reader import tensors
    from qatflow.evaluate.fake_quant_model import fake_quant_model
    from qatflow.tflite.verify import verify
    from qatflow.training.loss import evaluator

    digits = prepared_digits(tmp_path / "digits", validation=60, test=1500, preprocessing=EIGHT)
    start, epochs = transformer(10), {"learning_rate": 0.02, "batch_size": 32, "augmentation": "none"}
    made, history = compressed(digits, tmp_path / "work", INT8, 2, start, **epochs)
    assert history[0].train_loss > history[-1].train_loss
    changed = {name for name in start.weights if not np.array_equal(start.weights[name], made.real_weight(name))}
    assert changed == set(start.weights)
    converted = convert(made)
    verify(converted.graph, converted.content)
    pictures, labels = tensors(digits, "validation")
    outputs = Model(converted.content).outputs(pictures)
    _, top1, _ = evaluator(fake_quant_model(made))(evaluation_batches(digits, "validation"))
    assert (outputs.argmax(axis=1) == labels).mean() == pytest.approx(top1, abs=0.04)
