"""What jobs ask a cluster for, against what was measured, and how it grows."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection
from qatflow.workflow import cost
from qatflow.workflow.cost import LIGHT, Cost
from qatflow.workflow.expected import START_SECONDS, Expected, expected, note_cost

SMALL = {"train": 55_000, "validation": 5_000, "test": 10_000}
LARGE = {"train": 197, "validation": 400, "test": 400}
MIB = 1024**2 / 1e6


def small() -> Config:
    return Config()


def large() -> Config:
    return Config.model_validate(
        {
            "data": {
                "calibration": 100,
                "preprocessing": {"size": 224, "resize": "stretch", "channels": 3, "mean": [0.0], "std": [1.0]},
            },
            "model": {"alpha": 1.0},
            "pretrained": {"train": {"epochs": 1, "batch_size": 32}},
            "compress": {"batch_size": 32},
        }
    )


MEASURED = [
    (cost.float_training(small(), SMALL), 883),
    (cost.float_training(large(), LARGE), 3303),
    (cost.int8_training(small(), SMALL, epochs=2), 1081),
    (cost.int8_training(large(), LARGE, epochs=1), 3782),
    (cost.candidate_evaluation(small(), {"train": 40_000, "validation": 20_000}, epochs=1), 943),
    (cost.fake_quant_evaluation(small(), SMALL), 785),
    (cost.fake_quant_evaluation(large(), LARGE), 1369),
    (cost.inference(small(), SMALL["test"], models=3, cores=1), 60),
    (cost.inference(small(), SMALL["test"], models=3, cores=4), 159),
    (cost.inference(large(), LARGE["test"], models=3, cores=1), 170),
    (cost.inference(large(), LARGE["test"], models=3, cores=2), 357),
    (cost.inference(small(), 200, models=5, cores=1), 74),
    (cost.inference(large(), 100, models=5, cores=1), 198),
    (cost.inference(large(), 100, models=5, cores=4), 600),
    (LIGHT, 139),
]
"""A program and its peak memory, in MiB (the table in qatflow/workflow/cost.py)."""


@pytest.mark.parametrize(("expected", "mib"), MEASURED, ids=lambda value: str(value))
def test_a_job_asks_for_what_was_measured_with_a_margin_and_a_snakemake(expected, mib):
    asked = expected.memory_mb(1)
    assert mib * MIB * 1.2 + 300 <= asked <= mib * MIB * 5 + 300


def test_training_times_are_those_measured_here():
    # README: 6 epochs in 3 to 4 minutes, 2 epochs of training for int8 in 1.8
    assert 3 * 60 <= cost.float_training(small(), SMALL).seconds <= 5 * 60
    assert 1.5 * 60 <= cost.int8_training(small(), SMALL, epochs=2).seconds <= 2.5 * 60


@pytest.mark.parametrize(
    ("section", "change", "longer"),
    [
        ("model", {"alpha": 1.0}, 2),
        ("data", {"preprocessing": {"size": 64}}, 4),
        ("pretrained", {"train": {"epochs": 12}}, 2),
    ],
)
def test_width_size_and_epochs_take_longer(section, change, longer):
    found = cost.float_training(Config.model_validate({section: change}), SMALL).seconds
    assert found == pytest.approx(longer * cost.float_training(small(), SMALL).seconds)


@pytest.mark.parametrize(
    ("model", "times"),
    [
        ({"architecture": "MobileNetV1", "alpha": 0.5}, 1),
        ({"architecture": "MobileNetV2"}, 3),
        ({"architecture": "ResNet50"}, 6),
        ({"function": "mine:network"}, 6),
    ],
)
def test_other_networks_are_larger(model, times):
    assert cost.scale(Config.model_validate({"model": model})) == pytest.approx(times)


def test_with_litert_memory_grows_with_the_cores_and_not_with_the_pictures_and_time_with_their_ratio():
    one, more, cores = (cost.inference(large(), n, models=3, cores=c) for n, c in ((400, 1), (20_000, 1), (20_000, 4)))
    assert one.mb == more.mb and cores.mb - cost.LITERT_MB == pytest.approx(4 * (more.mb - cost.LITERT_MB))
    assert more.seconds == pytest.approx(50 * one.seconds) == pytest.approx(4 * cores.seconds)


def test_a_larger_batch_takes_more_memory():
    batch = Config.model_validate({"pretrained": {"train": {"batch_size": 1128}}})
    more = cost.float_training(batch, SMALL).mb - cost.float_training(small(), SMALL).mb
    assert more == pytest.approx(1000 * cost.FLOAT_MB)


def test_more_pictures_take_longer():
    twice = {split: 2 * count for split, count in SMALL.items()}
    assert cost.float_training(small(), twice).seconds == 2 * cost.float_training(small(), SMALL).seconds


def test_each_attempt_asks_for_twice_as_much_and_the_first_for_a_day_at_most():
    job = Cost(mb=1000, seconds=600)
    assert [job.memory_mb(attempt) for attempt in (1, 2, 3)] == [1800, 3600, 7200]
    assert [job.runtime_minutes(attempt) for attempt in (1, 2, 3)] == [50, 100, 200]
    assert Cost(mb=1, seconds=1e7).runtime_minutes(1) == 24 * 60


def test_pictures_are_counted_in_the_manifest(tmp_path: Path):
    manifest = tmp_path / "manifest.json"
    with pytest.raises(FileNotFoundError):
        cost.pictures(manifest)
    manifest.write_text(json.dumps({"splits": {"train": {"count": 3}, "test": {"count": 1}}}))
    assert cost.pictures(manifest) == {"train": 3, "test": 1}


def test_a_device_run_takes_longer_with_more_pictures_and_where_instructions_are_counted():
    config, device = small(), DeviceSection()
    usual = cost.device_run(config, device, 5_000).seconds
    assert 20 < usual < 60
    assert cost.device_run(config, device, None).seconds == usual
    assert cost.device_run(config, device, 20).seconds < usual
    uncounted = cost.device_run(config, device.model_copy(update={"count_instructions": False}), 5_000).seconds
    phone = cost.device_run(config, device.model_copy(update={"type": "adb"}), 5_000).seconds
    assert phone < uncounted < usual - 5 * cost.COUNTED_S + 0.001
    assert cost.device_run(large(), device, 5_000).seconds > 20 * usual


def test_an_earlier_time_is_scaled_by_what_other_settings_cost(tmp_path, monkeypatch):
    """Also behind a run that was killed, which leaves the benchmark file of the one before."""
    monkeypatch.chdir(tmp_path)
    benchmark, counted = tmp_path / "train.jsonl", {"cost": 40.0}

    def runtime() -> int:
        return 1

    runtime.seconds = lambda: counted["cost"]
    job = SimpleNamespace(
        benchmark=str(benchmark), rule=SimpleNamespace(resources={"runtime": runtime}), threads=2, wildcards={},
        input=SimpleNamespace(), output=[],
    )  # fmt: skip
    unnoted = SimpleNamespace(metadata=lambda output: None)
    assert expected(job, unnoted, cores=2) == Expected(40.0)
    note_cost(job, began=100.0, cores=2)
    benchmark.write_text('{"s": 50.0}\n')
    os.utime(benchmark, (160, 160))
    assert expected(job, unnoted, cores=2) == Expected(50.0, earlier=True)
    counted["cost"] = 2 * 40.0 + START_SECONDS  # twice as much, with the start
    assert expected(job, unnoted, cores=2) == Expected(100.0, earlier=True)
    note_cost(job, began=200.0, cores=2)  # and it is killed
    assert expected(job, unnoted, cores=2) == Expected(100.0, earlier=True)
    note_cost(job, began=300.0, cores=2)
    benchmark.write_text('{"s": 50.0}\n{"s": 90.0}\n')
    os.utime(benchmark, (400, 400))
    assert expected(job, unnoted, cores=2) == Expected(90.0, earlier=True)
