"""What each kind of job asks for: the cost of its experiment and of its pictures, and more at each further attempt."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.places import ROOT
from qatflow.config.load import load_experiments
from qatflow.workflow import cost
from qatflow.workflow.plan import Plan
from qatflow.workflow.resources import JobResources

COUNTS = {"train": 50_000, "validation": 5_000, "test": 10_000}
JOB = {"experiment": "digits_quant"}
CORES = 4


@pytest.fixture
def needs(monkeypatch) -> JobResources:
    monkeypatch.chdir(ROOT)
    overrides = {"config": "config/compress/auto_prune.yaml", "overrides": {"retrain_epoch": 3}}
    settings = {"compress": overrides, "hardware": {"gpus": 2}}
    return JobResources(Plan.of(load_experiments([Path("config/config.yaml"), Path("config/test.yaml")], settings)))


def expected(needs: JobResources) -> dict[str, cost.Cost]:
    (experiment,) = needs.plan.experiments.values()
    config, epochs = experiment.config, experiment.compress.compressor.epoch
    return {
        "float_training": cost.float_training(config, COUNTS),
        "int8_training": cost.int8_training(config, COUNTS, epochs),
        "candidate_evaluation": cost.candidate_evaluation(config, COUNTS, 3),
        "fake_quant_evaluation": cost.fake_quant_evaluation(config, COUNTS),
        "validation_by_litert": cost.inference(config, 5_000, models=3, cores=CORES),
        "test_by_litert": cost.inference(config, 10_000, models=3, cores=CORES),
        "layers_by_litert": cost.inspection(config, 5_000, CORES),
        "calibration_by_litert": cost.inference(config, config.data.calibration, models=5, cores=CORES),
    }


def test_a_job_asks_for_the_cost_of_its_pictures_twice_as_much_at_the_second_attempt(needs, tmp_path):
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"splits": {name: {"count": count} for name, count in COUNTS.items()}}))
    job_input = SimpleNamespace(data=str(manifest))
    for kind, one in expected(needs).items():
        asked, threads = getattr(needs, kind), {"threads": CORES} if kind.endswith("litert") else {}
        for attempt in (1, 2):
            assert asked["mem_mb"](JOB, job_input, attempt=attempt, **threads) == one.memory_mb(attempt), kind
            assert asked["runtime"](JOB, job_input, attempt=attempt, **threads) == one.runtime_minutes(attempt), kind


def test_before_the_pictures_are_prepared_nothing_is_known(needs, tmp_path):
    with pytest.raises(FileNotFoundError):
        needs.int8_training["mem_mb"](JOB, SimpleNamespace(data=str(tmp_path / "manifest.json")), 1)


def test_a_light_job_asks_for_the_same_whatever_its_input(needs):
    assert needs.light["mem_mb"](JOB, attempt=1) == cost.LIGHT.memory_mb(1)
    assert needs.light["runtime"](JOB, attempt=2) == cost.LIGHT.runtime_minutes(2)


def test_a_training_asks_for_the_gpus_that_are_configured(needs, monkeypatch):
    assert needs.gpus(JOB) == 2
    monkeypatch.chdir(ROOT)
    plain = Plan.of(load_experiments([Path("config/config.yaml"), Path("config/test.yaml")]))
    assert JobResources(plain).gpus(JOB) == 0
