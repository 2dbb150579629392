"""A step of training holds no operation that a GPU has no deterministic form of: TensorFlow would end the run."""

import numpy as np
import pytest

from helpers.small_networks import network

pytestmark = pytest.mark.tensorflow

NOT_DETERMINISTIC = {
    "FakeQuantWithMinMaxVarsGradient",
    "FakeQuantWithMinMaxVarsPerChannelGradient",
    "ResizeNearestNeighborGrad",
    "Bincount",
    "DenseBincount",
    "ScatterNd",
}
"""Kernels whose GPU form raises UnimplementedError under op determinism (tensorflow/core/kernels)."""


def operations(function):
    """All operations of a traced function and of those that it calls."""
    graph = function.graph.as_graph_def()
    return [*graph.node, *(node for called in graph.library.function for node in called.node_def)]


@pytest.mark.parametrize("name", ["inception", "MobileNetV1", "small ResNet"])
@pytest.mark.parametrize("frozen", [False, True], ids=["batch-norm trained", "batch-norm kept"])
def test_a_step_is_deterministic_on_a_gpu(name, frozen):
    import tensorflow as tf

    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model

    graph = network(name)
    quantisers = Quantisers(graph, QuantSettings(8, 8, "channel_wise_abs_max", "moving_average_abs_max"))
    quantisers.phase.mode = "quantise"
    keras = training_model(graph, seed=0, step=0, hooks=quantisers, freeze_batch_norm=frozen).keras

    @tf.function(autograph=False)
    def step(pictures, labels):
        with tf.GradientTape() as tape:
            loss = tf.nn.softmax_cross_entropy_with_logits(labels, keras(pictures, training=True))
        return tape.gradient(loss, keras.trainable_variables)

    found = operations(step.get_concrete_function(tf.zeros([2, 32, 32, 1]), tf.zeros([2, 10])))
    assert len(found) > 100
    assert not NOT_DETERMINISTIC & {node.op for node in found}
    # nor has the fused batch-norm's gradient, where the moving statistics are used
    norms = [node for node in found if node.op.startswith("FusedBatchNormGrad")]
    assert all(node.attr["is_training"].b for node in norms)
    assert bool(norms) == (not frozen)


def test_nearest_up_sampling_repeats_pixels_and_adds_up_their_gradients():
    import tensorflow as tf

    from qatflow.training.keras_model import nearest

    x = tf.Variable(np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2))
    with tf.GradientTape() as tape:
        y = nearest(x, (2, 3))
        total = tf.reduce_sum(y * tf.range(y.shape[1] * y.shape[2] * 2, dtype=tf.float32).numpy().reshape(y.shape))
    expected = x.numpy().repeat(2, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(y, expected)
    weights = np.arange(expected.size, dtype=np.float32).reshape(1, 2, 2, 3, 3, 2)
    np.testing.assert_array_equal(tape.gradient(total, x), weights.sum(axis=(2, 4)))
