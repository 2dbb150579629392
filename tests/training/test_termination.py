"""SIGTERM or SIGINT while a trainer evaluates, calibrates, or is within a step that does not end: what is saved."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.small_data import prepared_digits
from helpers.small_networks import network
from helpers.training_settings import SETTINGS
from qatflow.training.termination import PATIENCE, position_in

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def train(digits, folder: Path, terminate_at: tuple[str, int] | None = None, by: int = signal.SIGTERM):
    """Train for int8 from epoch 1 on; with `terminate_at` send a signal at the n-th batch of that kind.

    Kinds: `evaluation` after an epoch, `calibration`: the evaluation before calibration.
    """
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.compress.strategies.quantization import QuantizationStrategy
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.loop import Trainer

    class Watched(Trainer):
        def evaluate(self):
            kind = "evaluation" if self.step else "calibration"
            if (kind, self.epoch) == terminate_at:
                os.kill(os.getpid(), by)
            return super().evaluate()

    graph = network("small ResNet")
    quantisers = Quantisers(graph, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))
    section = QuantizationStrategySection.model_validate(
        {"class": "QuantizationStrategy", "start_epoch": 1, "end_epoch": 1}
    )
    strategy = QuantizationStrategy(section, quantisers)
    folder.mkdir(exist_ok=True)
    history = Watched(graph, digits, replace(SETTINGS, epochs=2), folder, [strategy], quantisers).run()
    return strategy.graph(folder), history


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    return train(digits, tmp_path_factory.mktemp("whole") / "work")


@pytest.mark.parametrize(
    ("at", "by", "status", "said"),
    [
        (("evaluation", 0), signal.SIGTERM, 143, "terminated at epoch 0, step 10"),
        (("calibration", 1), signal.SIGINT, 130, "interrupted at epoch 1, step 0"),
        (("evaluation", 1), signal.SIGTERM, 143, "terminated at epoch 1, step 10"),
    ],
    ids=str,
)
def test_a_signal_in_an_evaluation_ends_it_at_once_and_the_run_goes_on_to_the_same_bytes(
    digits, uninterrupted, tmp_path, capsys, at, by, status, said
):
    with pytest.raises(SystemExit) as ended:
        train(digits, tmp_path / "work", at, by)
    assert ended.value.code == status
    printed = capsys.readouterr().out
    assert f"{said}; the state is saved" in printed
    assert len(re.findall(r"^epoch \d+ \(", printed, re.MULTILINE)) == (1 if at[1] else 0), (
        "it is not evaluated to the end"
    )
    graph, history = train(digits, tmp_path / "work")
    expected, expected_history = uninterrupted
    assert history == expected_history
    assert graph.activation_scales == expected.activation_scales
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(graph.weights[name], values, err_msg=name)


@pytest.mark.parametrize(("by", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_step_that_does_not_end_is_given_up(by, status):
    program = (
        "import time\nfrom qatflow.training import termination\ntermination.PATIENCE = 0.5\n"
        "with termination.Termination() as it:\n    it.saved = 'epoch 2, step 7'\n"
        "    print('in', flush=True)\n    time.sleep(60)\nprint('awake')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    process.send_signal(by)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert "awake" not in printed, "the step is not waited for"
    assert "the state of the last checkpoint stands: the same command continues from epoch 2, step 7" in printed
    assert position_in(printed) == "epoch 2, step 7"


def test_a_cluster_that_kills_after_ten_seconds_finds_the_process_gone():
    assert PATIENCE < 10
