"""Strategies of all kinds in one training: their order, epochs that overlap, a kill, and the integers on the device."""

from typing import Any

import numpy as np
import pytest

from helpers.compression import compressed, device_kernels, killed_in_turn
from helpers.small_data import prepared_digits
from helpers.small_networks import network
from qatflow.base.errors import UserError
from qatflow.graph.counts import total
from qatflow.graph.operations import Concat

pytestmark = pytest.mark.tensorflow

DISTIL = {"class": "DistillationStrategy", "distillers": ["d"], "end_epoch": 3}
PRUNE = {"class": "UniformPruneStrategy", "pruner": "p", "start_epoch": 1, "target_ratio": 0.4}
SPARSE = {"class": "SparsityStrategy", "start_epoch": 1, "end_epoch": 2, "frequency": 3, "target_sparsity": 0.5}
INT8 = {"class": "QuantizationStrategy", "start_epoch": 2}
LABELS = {"d": {"class": "SoftLabelDistiller", "student_temperature": 2.0, "teacher_temperature": 2.0}}
EPOCHS = 3


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    from qatflow.training.runtime import start

    start(seed=3, threads=2)
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def all_of_them(digits, folder, **more: Any):
    """Distillation throughout, channels go in its midst, zeros come from there until quantisation is on its way."""
    strategies = {"distil": DISTIL, "prune": PRUNE, "sparse": SPARSE, "int8": INT8}
    return compressed(digits, folder, strategies, EPOCHS, network("inception"), distillers=LABELS, **more)


@pytest.fixture(scope="module")
def together(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    return *all_of_them(digits, folder / "work"), folder


def test_concatenations_get_thinner_and_sparse_under_a_teacher_and_the_device_has_the_integers(digits, together):
    graph, history, folder = together
    whole = network("inception")
    assert any(isinstance(node.operation, Concat) for node in graph.nodes)
    assert total(graph).multiply_adds / total(whole).multiply_adds == pytest.approx(0.6, abs=0.03)
    for name, kernel in device_kernels(graph, digits, folder).items():
        if "depthwise" not in name:
            assert (kernel == 0).sum() >= kernel.size - max(round(0.5 * kernel.size), 1), name
    assert [figures.phase for figures in history] == ["float", "float", "int8"]


def test_a_run_killed_at_three_places_goes_on_to_the_same_bytes(digits, together, tmp_path):
    expected, expected_history, _ = together
    graph, history = killed_in_turn(lambda: all_of_them(digits, tmp_path / "work"), (0, 6), (1, 9), (2, 5))
    assert history == expected_history
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(graph.weights[name], values, err_msg=name)
    assert graph.weight_scales == expected.weight_scales and graph.activation_scales == expected.activation_scales


def test_strategies_of_one_epoch_are_called_in_the_order_of_the_list(digits, tmp_path, capsys):
    lines = []
    for order in (["prune", "distil"], ["distil", "prune"]):
        parts = {"prune": {**PRUNE, "start_epoch": 0}, "distil": {**DISTIL, "end_epoch": 1}}
        ordered = {name: parts[name] for name in order}
        compressed(digits, tmp_path / order[0], {**ordered, "int8": {**INT8, "start_epoch": 0}}, 1, distillers=LABELS)
        said = capsys.readouterr().out.splitlines()
        lines.append([("pruned" in line) for line in said if "epoch 0: pruned" in line or "distillation by" in line])
    assert lines == [[True, False], [False, True]]


def test_a_feature_map_that_pruning_would_make_thinner_than_the_teachers_is_told_before_training(
    digits, tmp_path, capsys
):
    student = network("small ResNet")
    tied, own = "conv2d_2", "conv2d_1"  # the first is tied to the sum of its block, the second is within it

    def train(folder, layer: str, pruned: str, end: int):
        features = {"d": {"class": "L2Distiller", "student_feature_map": layer, "teacher_feature_map": layer}}
        parts = {"distil": {**DISTIL, "end_epoch": end}, "prune": {**PRUNE, "pruned_params": pruned}}
        compressed(digits, folder, {**parts, "int8": INT8}, EPOCHS, student, distillers=features)

    with pytest.raises(
        UserError, match=rf"^distillers.d: {own} and the teacher's {own}: .*\(16, 16, 4\).*pruned_params"
    ):
        train(tmp_path / "own", own, ".*", 3)
    assert "epoch 0" not in capsys.readouterr().out
    train(tmp_path / "tied", tied, f"{own}/", 3)
    assert "epoch 0: distillation by d" in capsys.readouterr().out
    train(tmp_path / "before", own, ".*", 1)
    assert "epoch 1: pruned" in capsys.readouterr().out
