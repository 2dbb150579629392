"""A training that is interrupted and goes on ends with the same bytes as one that was not."""

import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.few_layers import narrow_mobilenet
from helpers.small_data import prepared_digits
from snakemake_logger_plugin_qatflow.jobs import Job

pytestmark = pytest.mark.tensorflow

STEPS = 10  # 1,257 pictures in batches of 128
EPOCHS = 3


class KilledError(Exception):
    """Stands for a process that ends without a word."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


@pytest.fixture(scope="module")
def start():
    from qatflow.training.runtime import start

    start(seed=3, threads=2)


def graph_and_settings():
    import tf_keras

    from qatflow.models.from_keras import graph_of
    from qatflow.training.settings import TrainingSettings

    tf_keras.backend.clear_session()  # names count from 1, whatever was built before
    tf_keras.utils.set_random_seed(3)
    graph = graph_of(narrow_mobilenet((32, 32, 1), 10, dropout=0.2), momentum=0.9)
    settings = TrainingSettings(
        epochs=EPOCHS, batch_size=128, learning_rate=0.05, warmup_epochs=0.5, momentum=0.9, weight_decay=1e-4,
        label_smoothing=0.1, augmentation="shift", freeze_batch_norm=False, seed=3, checkpoint_steps=4,
    )  # fmt: skip
    return graph, settings


def trained(digits, folder: Path, kill_at: tuple[int, int] | None = None):
    """Train for int8 from epoch 1 on; end at (epoch, step) without saving when `kill_at` says so."""
    from qatflow.compress.quantizers.quantised_model import Quantisers
    from qatflow.compress.strategies.quantization import QuantizationStrategy
    from qatflow.config.recipe.recipe import QuantizationStrategySection
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.loop import Trainer
    from qatflow.training.strategy import Strategy, TrainingRun

    class Kill(Strategy):
        def on_batch_end(self, trainer: TrainingRun) -> None:
            if (trainer.epoch, trainer.step) == kill_at:
                raise KilledError

    graph, settings = graph_and_settings()
    section = QuantizationStrategySection.model_validate(
        {"class": "QuantizationStrategy", "start_epoch": 1, "end_epoch": EPOCHS - 1}
    )
    types = ("channel_wise_abs_max", "moving_average_abs_max")
    quantisers = Quantisers(graph, QuantSettings(8, 8, *types, calibration_method="percentile"))
    strategy = QuantizationStrategy(section, quantisers)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(graph, digits, settings, folder, strategies=[strategy, Kill()], hooks=quantisers)
    history = trainer.run()
    return strategy.graph(folder), history


@pytest.fixture(scope="module")
def uninterrupted(start, digits, tmp_path_factory):
    return trained(digits, tmp_path_factory.mktemp("whole") / "work")


def test_a_run_killed_at_four_points_goes_on_to_the_same_integers_scales_and_history(
    digits, uninterrupted, tmp_path, capsys
):
    work = tmp_path / "work"
    points = (
        (0, 2),  # before the first checkpoint
        (0, 7),  # float, within an epoch
        (1, 1),  # just after quantisation began
        (2, 9),  # quantised, within an epoch
    )
    for place, point in enumerate(points):
        with pytest.raises(KilledError):
            trained(digits, work, point)
        assert ("resumed at" in capsys.readouterr().out) == (place > 1)
    graph, history = trained(digits, work)
    assert "resumed at epoch 2, step 8 " in capsys.readouterr().out
    expected, expected_history = uninterrupted
    assert history == expected_history
    assert graph.activation_scales == expected.activation_scales
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(graph.weights[name], values, err_msg=name)


def test_training_learns(uninterrupted):
    _, history = uninterrupted
    assert [figures.phase for figures in history] == ["float", "int8", "int8"]
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].train_top1 > 0.3, "three times what guessing gives"


def test_raising_the_epochs_goes_on_and_another_learning_rate_starts_over(start, digits, tmp_path, capsys, monkeypatch):
    from qatflow.base.work_folder import work_folder
    from qatflow.training import loop
    from qatflow.training.loop import Trainer

    monkeypatch.setattr(loop, "LOG_EVERY", STEPS - 1)

    graph, settings = graph_and_settings()
    one = replace(settings, epochs=1)

    def run(settings):
        with work_folder(tmp_path, settings.shaping) as folder:
            Trainer(graph, digits, settings, folder).run()
        return capsys.readouterr().out

    log = tmp_path / "log"
    log.write_text(run(one).partition("epoch 0 (")[0])
    job = Job("train", [str(log)])
    job.look()  # as the logger does while it runs
    line = rf"epoch 0, step {STEPS - 1}/{STEPS}, {100 - 100 // STEPS} % done, \d\d:\d\d left: "
    assert re.fullmatch(line + r"loss \d\.\d{4}, top-1 \d+\.\d %, [\d,]+ pictures/s", job.said)
    assert "resumed at epoch 1" in run(replace(one, epochs=2))
    again = run(replace(one, learning_rate=0.01))
    assert "starting over" in again and "resumed" not in again


def test_checkpoints_are_kept_to_a_number_and_a_damaged_one_is_passed_over(start, digits, tmp_path, capsys):
    from qatflow.training import checkpoint
    from qatflow.training.loop import Trainer

    graph, settings = graph_and_settings()
    settings = replace(settings, epochs=1)
    Trainer(graph, digits, settings, tmp_path).run()
    kept = checkpoint.checkpoints(tmp_path)
    assert [path.name for path in kept] == [
        "checkpoint-00000-0000008.safetensors", "checkpoint-00001-0000000.safetensors",
    ]  # fmt: skip
    kept[-1].write_bytes(kept[-1].read_bytes()[:1000])
    capsys.readouterr()
    trainer = Trainer(graph, digits, settings, tmp_path)
    assert "damaged" in capsys.readouterr().out
    assert (trainer.epoch, trainer.step) == (0, 8)


def test_a_checkpoint_is_due_by_time_too_in_the_first_epoch_as_later(start, digits, tmp_path):
    from qatflow.training import checkpoint
    from qatflow.training.loop import Trainer
    from qatflow.training.strategy import Strategy, TrainingRun

    now, lost, kept = [0.0], [], []

    class TakesTime(Strategy):
        """A step takes 25 s; before each it is noted what a kill at that moment would cost."""

        def on_batch_begin(self, trainer: TrainingRun) -> None:
            names = [path.name for path in checkpoint.checkpoints(tmp_path)]
            kept.extend(name for name in names if name not in kept)
            behind = [epoch * STEPS + step for epoch, step in (map(int, name[11:24].split("-")) for name in kept)]
            lost.append(25.0 * (trainer.epoch * STEPS + trainer.step - max(behind, default=0)))
            now[0] += 25.0

    graph, settings = graph_and_settings()
    settings = replace(settings, epochs=2, checkpoint_steps=200, checkpoint_seconds=60.0)
    Trainer(graph, digits, settings, tmp_path, [TakesTime()], clock=lambda: now[0]).run()
    assert len(lost) == 2 * STEPS
    assert max(lost) < 60.0
    assert kept[:4] == [f"checkpoint-{at}.safetensors" for at in (
        "00000-0000003", "00000-0000006", "00000-0000009", "00001-0000000",
    )]  # fmt: skip


def test_a_second_trainer_in_one_folder_waits_until_the_first_has_ended(tmp_path, capsys):
    from qatflow.base.work_folder import work_folder

    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys, time\nfrom pathlib import Path\nfrom qatflow.base.work_folder import work_folder\n"
            f"with work_folder(Path({str(tmp_path)!r}), {{}}):\n    print('held', flush=True)\n    time.sleep(60)",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    killed_at = []

    def kill() -> None:
        killed_at.append(time.monotonic())
        holder.kill()

    timer = threading.Timer(1.0, kill)
    timer.start()
    with work_folder(tmp_path, {}) as folder:
        assert folder.is_dir()
        assert killed_at, "the lock was not held"
    assert "waiting for it to end" in capsys.readouterr().out
    holder.wait()
