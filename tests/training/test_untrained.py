"""Layers that a user's model freezes stay as they are in training, in float and for int8; dropout of whole channels."""

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

SHAPE = (6, 6, 2)


@pytest.fixture(scope="module")
def graph() -> Any:
    """The graph of a Keras model with frozen layers of each kind."""
    import tf_keras
    from tf_keras import layers

    from qatflow.models.from_keras import graph_of

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(1)
    pictures = layers.Input(SHAPE)
    x = layers.Conv2D(4, 3, name="still", trainable=False)(layers.Rescaling(0.5, name="half")(pictures))
    x = layers.BatchNormalization(name="by_call")(x, training=False)
    x = layers.SpatialDropout2D(0.5, name="drop")(x)
    x = layers.BatchNormalization(name="by_flag", trainable=False)(layers.Conv2D(4, 1, name="moves")(x))
    x = layers.BatchNormalization(name="plain")(layers.Conv2D(4, 1, name="too")(x))
    model = tf_keras.Model(pictures, layers.Dense(3, name="head")(layers.Flatten()(x)))
    random = np.random.default_rng(1)
    for name in ("by_call", "by_flag"):
        layer = model.get_layer(name)
        layer.moving_mean.assign(random.normal(0, 1, 4))
        layer.moving_variance.assign(random.uniform(0.5, 2, 4))
    return graph_of(model, momentum=0.5)


KEPT = {"still/kernel", "still/bias", "half/factor", "half/offset", "by_call/moving_mean"}
KEPT |= {"by_call/moving_variance"} | {
    f"by_flag/{role}" for role in ("gamma", "beta", "moving_mean", "moving_variance")
}


def step_of(graph: Any, hooks: Any = None) -> Any:
    from dataclasses import replace

    from helpers.training_settings import SETTINGS
    from qatflow.training.keras_model import NoHooks
    from qatflow.training.replicas import Replicas
    from qatflow.training.step import TrainingStep

    settings = replace(SETTINGS, weight_decay=0.1)
    step = TrainingStep(settings, 10, "logits", Replicas(), hooks or NoHooks())
    step.build(graph, "float32")
    step.trace()
    return step


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_frozen_layers_stay_and_all_others_are_trained(graph: Any, kind: str):
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.quantisation.placement import QuantSettings

    quantisers = (
        Quantisers(graph, QuantSettings(8, 8, "channel_wise_abs_max", "moving_average_abs_max"))
        if kind == "int8"
        else None
    )
    step = step_of(graph, quantisers)
    pictures = np.random.default_rng(2).normal(0, 1, (16, *SHAPE)).astype(np.float32)
    if quantisers is not None:
        for mode in ("calibrate", "quantise"):
            quantisers.phase.mode = mode
            step.model.keras(pictures, training=False)
        step.trace()
    before = step.model.weights()
    for _ in range(3):
        step(pictures, np.arange(16) % 3, np.arange(16))
    after = step.model.weights()
    assert {name for name in before if np.array_equal(before[name], after[name])} == KEPT
    if quantisers is not None:  # and its integers are those of the weights before training
        saved, _ = quantisers.quantised_graph(step.model)
        real = saved.real_weight("still/kernel")
        assert np.abs(real - graph.weights["still/kernel"]).max() <= saved.weight_scales["still/kernel"].scale.max() / 2
        assert saved.frozen == graph.frozen


def test_batch_norm_called_as_in_inference_uses_its_moving_statistics(graph: Any):
    model = step_of(graph).model
    pictures = np.random.default_rng(3).normal(0, 1, (8, *SHAPE)).astype(np.float32)
    _, conv, by_call, moves, by_flag = model.with_tensors(["still", "by_call", "moves", "by_flag"])(
        pictures, training=True
    )
    for name, read, made in (("by_call", conv, by_call), ("by_flag", moves, by_flag)):
        mean, variance = (graph.weights[f"{name}/moving_{what}"] for what in ("mean", "variance"))
        expected = (np.asarray(read) - mean) / np.sqrt(variance + 1e-3)  # gamma is 1, beta 0
        np.testing.assert_allclose(np.asarray(made), expected, atol=1e-5)


def test_spatial_dropout_drops_whole_channels_by_seed_and_step(graph: Any):
    step = step_of(graph)
    pictures = np.random.default_rng(3).normal(0, 1, (64, *SHAPE)).astype(np.float32)
    outputs = step.model.with_tensors(["by_call", "drop"])

    def dropped() -> np.ndarray:
        _, read, made = (np.asarray(value) for value in outputs(pictures, training=True))
        ratio = made / read
        gone = (ratio == 0).all(axis=(1, 2))
        np.testing.assert_allclose(ratio, np.where(gone, 0.0, 2.0)[:, None, None, :] * np.ones_like(read), rtol=1e-5)
        assert 0.4 < gone.mean() < 0.6
        return gone

    first = dropped()
    np.testing.assert_array_equal(first, dropped())
    step._optimizer.iterations.assign(1)
    assert not np.array_equal(first, dropped())
    _, read, made = outputs(pictures, training=False)
    np.testing.assert_array_equal(read, made)


def test_a_network_whose_layers_are_all_frozen_has_nothing_to_train(graph: Any):
    from dataclasses import replace

    from qatflow.base.errors import UserError
    from qatflow.graph.graph import all_trained

    with pytest.raises(UserError, match=r"all layers of the network are frozen.*model\.frozen_layers to train"):
        step_of(replace(graph, frozen=frozenset(node.name for node in graph.nodes)))
    everything = step_of(all_trained(graph)).model
    assert len(everything.trained()) == len(everything.keras.trainable_variables)


def test_what_is_frozen_is_stored(graph: Any, tmp_path: Any):
    import json

    from qatflow.graph.graph import all_trained
    from qatflow.graph.store import load, save

    save(graph, tmp_path / "frozen")
    read = load(tmp_path / "frozen")
    assert (read.frozen, read.moving_statistics) == (graph.frozen, graph.moving_statistics)
    assert read.frozen == {"half", "still", "by_flag"} and read.moving_statistics == {"by_call", "by_flag"}
    save(all_trained(graph), tmp_path / "all")  # as in folders of versions that did not know of it
    assert not {"frozen", "moving_statistics"} & set(json.loads((tmp_path / "all" / "model").read_text()))
