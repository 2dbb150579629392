"""Clustered kernels: few values up to the integers of the device's model, and zeros that stay."""

import gzip
import itertools
from dataclasses import replace

import numpy as np
import pytest

from helpers.compression import STEPS, assert_as_before, compressed, device_kernels, killed_in_turn
from helpers.graphs import pictures, small_graph, with_weight
from helpers.numpy_network import execute
from helpers.small_data import prepared_digits
from helpers.small_networks import network

pytestmark = pytest.mark.tensorflow

CLUSTERED = {"class": "ClusteringStrategy", "end_epoch": 1, "number_of_clusters": 8}
INT8 = {"class": "QuantizationStrategy", "start_epoch": 1}
BOTH = {"clustered": CLUSTERED, "int8": INT8}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    from qatflow.training.runtime import start

    start(seed=3, threads=2)
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


FROZEN = "conv2d_3"


def negative_gammas():
    """The small ResNet with a frozen layer, and every other gamma below zero."""
    graph = replace(network("small ResNet"), frozen=frozenset({FROZEN}))
    sign = np.float32([1, -1])
    return replace(
        graph,
        weights={n: w * np.tile(sign, w.size // 2) if n.endswith("gamma") else w for n, w in graph.weights.items()},
    )


@pytest.fixture(scope="module")
def clustered(digits, tmp_path_factory):
    work = tmp_path_factory.mktemp("clustered")
    return *compressed(digits, work / "work", BOTH, 3, negative_gammas()), work


def quantiser(kernel: np.ndarray, **keys):
    """The quantiser of a kernel in a layer of its own, its clusters found."""
    import tf_keras

    from qatflow.compress.quantizers.clustered import ClusteredWeight, Clusters
    from qatflow.config.recipe.sparsity import ClusteringStrategySection

    clusters = Clusters(ClusteringStrategySection.model_validate({"class": "ClusteringStrategy", **keys}), "nearest")
    found = ClusteredWeight(clusters, None)
    found.build(kernel.shape, "kernel", tf_keras.layers.Layer())
    found.begin(kernel)
    return found


@pytest.mark.parametrize("way", ["linear", "density_based", "kmeans_plus_plus"])
def test_each_weight_has_the_value_of_the_nearest_cluster_and_zero_is_one(digits, way):
    kernel = np.random.default_rng(1).normal(0, 0.1, (3, 3, 8, 16)).astype(np.float32)
    kernel[np.abs(kernel) < 0.03] = 0
    found = quantiser(kernel, initialization=way, number_of_clusters=12)
    values = found.state["values"].numpy()
    assert values[0] == 0 and np.unique(values).size == 12
    nearest = values[np.abs(kernel[..., None] - values).argmin(axis=-1)]
    seen = np.asarray(found.clustered(kernel))
    np.testing.assert_array_equal(seen, nearest)
    assert (seen[kernel == 0] == 0).all()
    assert np.abs(seen - kernel).mean() < 0.5 * np.abs(kernel).mean()


def test_kernels_with_fewer_values_than_clusters_stay_as_they_are(digits):
    for values in ([0.0], [0.0, 0.5, -0.25], [0.5]):
        kernel = np.resize(np.float32(values), (1, 1, 5, 7))
        np.testing.assert_array_equal(quantiser(kernel).clustered(kernel), kernel)


@pytest.mark.parametrize("how", ["sum", "avg"])
def test_gradients_go_to_the_weights_and_to_the_clusters(digits, how):
    import tensorflow as tf

    random = np.random.default_rng(2)
    kernel, upstream = random.normal(size=(2, 3, 4, 50)).astype(np.float32)
    found = quantiser(kernel, number_of_clusters=5, cluster_gradient_aggregation=how)
    variable, values = tf.Variable(kernel), found.state["values"]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(found.clustered(variable) * upstream)
    to_kernel, to_values = tape.gradient(loss, [variable, values])
    np.testing.assert_array_equal(to_kernel, upstream)
    places = np.abs(kernel[..., None] - values.numpy()).argmin(axis=-1)
    expected = [getattr(upstream[places == cluster], {"sum": "sum", "avg": "mean"}[how])() for cluster in range(5)]
    expected[0] = 0.0  # zero stays
    np.testing.assert_allclose(to_values, expected, rtol=1e-4, atol=1e-5)


def test_no_kernel_has_more_integers_than_clusters_on_the_device_either(digits, clustered, tmp_path, capsys):
    graph, history, work = clustered
    kernels = device_kernels(graph, digits, work)
    frozen = kernels.pop(f"{FROZEN}/kernel")
    assert np.unique(frozen).size > 100, "a frozen layer stays as it is"
    assert_as_before(graph, f"{FROZEN}/kernel", negative_gammas().weights[f"{FROZEN}/kernel"], equal_ranges=True)
    for name, integers in kernels.items():
        assert 5 < np.unique(graph.weights[name]).size <= 8, name
        assert np.unique(integers).size <= 8, f"{name}: gammas below zero double the values"
    assert [figures.phase for figures in history] == ["clustered", "int8", "int8"]
    assert history[-1].train_top1 > 0.3, "three times what guessing gives"
    plain, _ = compressed(digits, tmp_path / "work", {"int8": INT8}, 3)
    device_kernels(plain, digits, tmp_path)
    packed = [len(gzip.compress((folder / "opt/model.tflite").read_bytes(), 9)) for folder in (work, tmp_path)]
    assert packed[0] < 0.8 * packed[1], "most of the small network's file is its structure"


def test_clusters_are_found_in_channels_of_one_range_which_nothing_scales_later(digits, tmp_path, capsys):
    plain = {"class": "SparsityStrategy", "target_sparsity": 0.1, "pruned_params": "dense"}
    later = {**CLUSTERED, "start_epoch": 1}
    compressed(digits, tmp_path / "work", {"sparse": plain, "clustered": later, "int8": INT8}, 2)
    lines = capsys.readouterr().out.splitlines()
    places = [next(i for i, line in enumerate(lines) if text in line) for text in ("one range", "values per kernel")]
    assert places == sorted(places) and sum("one range" in line for line in lines) == 1


def test_zeros_of_sparsity_stay_and_are_one_of_the_values(digits, tmp_path):
    sparse = {"class": "SparsityStrategy", "target_sparsity": 0.6, "end_epoch": 0}
    graph, _ = compressed(digits, tmp_path / "work", {"sparse": sparse, **BOTH}, 3)
    for name, kernel in device_kernels(graph, digits, tmp_path).items():
        assert (kernel == 0).sum() >= kernel.size - round(0.4 * kernel.size), name
        assert np.unique(kernel).size <= 8, name


def test_layers_that_stay_in_float_are_clustered_too(digits, tmp_path):
    graph, _ = compressed(
        digits, tmp_path / "work", {"clustered": CLUSTERED, "int8": {**INT8, "skip_pattern": ["conv2d_2"]}}, 2
    )
    assert "conv2d_2/kernel" not in graph.weight_scales
    assert np.unique(graph.weights["conv2d_2/kernel"]).size <= 8


def test_weights_stay_in_their_clusters_from_end_epoch_on(digits, tmp_path, monkeypatch):
    from qatflow.compress.strategies.quantization import QuantizationStrategy

    seen = []

    def watch(self, trainer):
        (found,) = [one for kernel, one in self.quantisers._clusters() if kernel == "conv2d_1/kernel"]
        seen.append(np.asarray(found.clustered(trainer.model.weights()["conv2d_1/kernel"])))

    monkeypatch.setattr(QuantizationStrategy, "on_batch_end", watch)
    compressed(digits, tmp_path / "work", BOTH, 4, learning_rate=0.05)

    def partition(kernel):
        return np.unique(kernel, return_inverse=True)[1]

    moves = [float((partition(one) != partition(other)).mean()) for one, other in itertools.pairwise(seen)]
    assert any(moves[: 2 * STEPS - 1]) and not any(moves[2 * STEPS :])
    assert not np.array_equal(seen[-1], seen[2 * STEPS]), "the values are trained on"


def test_a_run_killed_at_three_places_goes_on_to_the_same_bytes(digits, clustered, tmp_path, capsys):
    expected, expected_history, _ = clustered
    graph, history = killed_in_turn(
        lambda: compressed(digits, tmp_path / "work", BOTH, 3, negative_gammas()), (0, 6), (1, 1), (2, 5)
    )
    assert capsys.readouterr().out.count("resumed at") == 3
    assert history == expected_history and graph.activation_scales == expected.activation_scales
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(graph.weights[name], values, err_msg=name)


def test_negative_gammas_move_into_the_kernels():
    from qatflow.compress.preparation import with_positive_gammas

    graph = small_graph()
    for name in [name for name in graph.weights if name.endswith("gamma")]:
        graph = with_weight(graph, name, graph.weights[name] * np.float32([1, -1, -1, 1]))
    positive = with_positive_gammas(graph, [node.kernel for node in graph.nodes if node.kernel is not None])
    gammas = [weight for name, weight in positive.weights.items() if name.endswith("gamma")]
    assert len(gammas) == 3 and all((gamma > 0).all() for gamma in gammas)
    before, after = (execute(g, pictures(8))["probabilities"] for g in (graph, positive))
    np.testing.assert_array_equal(after, before)
