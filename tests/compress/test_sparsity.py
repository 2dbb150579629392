"""Sparse kernels: the zeros that were asked for, against NumPy, up to the integers of the device's model."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from helpers.compression import STEPS, assert_as_before, compressed, device_kernels, killed_in_turn
from helpers.few_layers import narrow_mobilenet
from helpers.small_data import prepared_digits
from helpers.small_networks import network, with_statistics
from qatflow.base.errors import UserError

pytestmark = pytest.mark.tensorflow

SPARSE = {"class": "SparsityStrategy", "end_epoch": 1, "schedule": "polynomial", "frequency": 3, "target_sparsity": 0.8}
INT8 = {"class": "QuantizationStrategy", "start_epoch": 2}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    from qatflow.training.runtime import start

    start(seed=3, threads=2)
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


FROZEN = "conv2d_3"


def partly_frozen():
    return replace(network("small ResNet"), frozen=frozenset({FROZEN}))


@pytest.fixture(scope="module")
def sparse(digits, tmp_path_factory):
    work = tmp_path_factory.mktemp("sparse")
    return *compressed(digits, work / "work", {"sparse": SPARSE, "int8": INT8}, 3, partly_frozen()), work


def watched(monkeypatch):
    """The kernels after each step, as they are in training."""
    from qatflow.compress.strategies.quantization import QuantizationStrategy

    seen: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(
        QuantizationStrategy,
        "on_batch_end",
        lambda self, trainer: seen.append({n: w for n, w in trainer.model.weights().items() if n.endswith("kernel")}),
    )
    return seen


def zeros(size: int, sparsity: float) -> int:
    return size - max(round(size * (1 - sparsity)), 1)


def test_every_kernel_has_the_zeros_of_the_schedule_after_each_step(digits, tmp_path, monkeypatch):
    seen = watched(monkeypatch)
    compressed(digits, tmp_path / "work", {"sparse": {**SPARSE, "start_epoch": 1}, "int8": INT8}, 3)
    assert len(seen) == 3 * STEPS
    for name, last in seen[-1].items():
        counts = [int((kernels[name] == 0).sum()) for kernels in seen]
        assert counts[:STEPS] == [0] * STEPS, "before start_epoch"
        # a step in ten, so that the cubic has ten: Zhu & Gupta 2017, eq. 1, from 0 to 0.8 over steps 0 … 9
        shares = [0.8 - 0.8 * (1 - step / 9) ** 3 for step in range(STEPS)]
        assert counts[STEPS : 2 * STEPS] == [zeros(last.size, share) for share in shares], name
        assert counts[2 * STEPS :] == [zeros(last.size, 0.8)] * STEPS, "and while fake-quantised"
        places = [kernels[name] == 0 for kernels in seen[2 * STEPS - 1 :]]
        assert all(np.array_equal(place, places[0]) for place in places)


def test_the_least_magnitudes_go_and_others_stay_as_they_are(digits, tmp_path, monkeypatch):
    from qatflow.compress.strategies.sparsity import SparsityStrategy

    found = []
    begin = SparsityStrategy.on_batch_begin

    def once(self, trainer):
        before = trainer.model.weights()
        begin(self, trainer)
        found.append((before, trainer.model.weights()))

    monkeypatch.setattr(SparsityStrategy, "on_batch_begin", once)
    once_only = {"class": "SparsityStrategy", "target_sparsity": 0.5, "pruned_params": "conv2d_1"}
    compressed(digits, tmp_path / "work", {"sparse": once_only, "int8": {"class": "QuantizationStrategy"}}, 1)
    before, after = found[0]
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["conv2d_1/kernel"], "the pattern's alone"
    kernel = before["conv2d_1/kernel"]
    least = np.argsort(np.abs(kernel), axis=None)[: zeros(kernel.size, 0.5)]
    expected = kernel.copy()
    expected.reshape(-1)[least] = 0
    np.testing.assert_array_equal(after["conv2d_1/kernel"], expected)


def test_the_devices_model_has_these_zeros_and_is_smaller_when_compressed(digits, sparse, tmp_path):
    graph, history, work = sparse
    kernels = device_kernels(graph, digits, work)
    assert set(kernels) == set(graph.weight_scales)
    frozen = kernels.pop(f"{FROZEN}/kernel")
    assert (frozen == 0).mean() < 0.1, "a frozen layer stays as it is"
    assert_as_before(graph, f"{FROZEN}/kernel", network("small ResNet").weights[f"{FROZEN}/kernel"], equal_ranges=True)
    for name, integers in kernels.items():
        # a weight below half a step is zero as well
        assert zeros(integers.size, 0.8) <= (integers == 0).sum() < integers.size, name
    assert history[-1].train_top1 > 0.3, "three times what guessing gives"
    dense, _ = compressed(digits, tmp_path / "work", {"int8": INT8}, 3)
    device_kernels(dense, digits, tmp_path)
    packed = [len(gzip.compress((folder / "opt/model.tflite").read_bytes(), 9)) for folder in (work, tmp_path)]
    assert packed[0] < 0.8 * packed[1], "most of the small network's file is its structure"


@pytest.mark.parametrize("start", [0, 1])
def test_two_of_any_four_input_channels_are_zero_on_the_device(digits, tmp_path, start):
    strategy = {"class": "SparsityStrategy", "m_by_n": [2, 4], "start_epoch": start, "end_epoch": start}
    whole = with_statistics(lambda: narrow_mobilenet((32, 32, 1), 10))
    graph, _ = compressed(digits, tmp_path / "work", {"sparse": strategy, "int8": {**INT8, "start_epoch": 1}}, 2, whole)
    for name, kernel in device_kernels(graph, digits, tmp_path).items():
        if name.endswith("depthwise_kernel"):
            continue  # not by default, as in tfmot
        channels = kernel.shape[-1]
        rows = np.pad(kernel.reshape(-1, channels), ((0, 0), (0, -channels % 4)))
        assert (np.count_nonzero(rows.reshape(-1, 4), axis=1) <= 2).all(), name
    assert (graph.weights["conv_dw_3/depthwise_kernel"] == 0).mean() < 0.2


def test_a_run_killed_at_four_places_goes_on_to_the_same_bytes(digits, sparse, tmp_path, capsys):
    expected, expected_history, _ = sparse
    strategies = {"sparse": SPARSE, "int8": INT8}
    graph, history = killed_in_turn(
        lambda: compressed(digits, tmp_path / "work", strategies, 3, partly_frozen()), (0, 6), (1, 1), (1, 9), (2, 5)
    )
    assert capsys.readouterr().out.count("resumed at") == 4
    assert history == expected_history and graph.activation_scales == expected.activation_scales
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(graph.weights[name], values, err_msg=name)


def test_a_pattern_of_no_kernel_lists_some(digits, tmp_path):
    strategy = {"class": "SparsityStrategy", "pruned_params": "fc"}
    with pytest.raises(UserError, match=r"^pruned_params: no kernel's name matches 'fc'; the names are conv2d"):
        compressed(digits, tmp_path / "work", {"sparse": strategy, "int8": {"class": "QuantizationStrategy"}}, 1)
