"""Each preset of config/compress on small data, as experiments of one run: an int8 model on the device, bit for bit."""

import csv
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from helpers.places import ROOT
from helpers.small_run import SETTINGS as SMALL
from helpers.small_run import copied
from helpers.trained_integers import assert_kept
from helpers.workflow_helpers import Project
from qatflow.export.mobile import load_any
from qatflow.graph.counts import total
from qatflow.graph.store import load

pytestmark = pytest.mark.e2e


def quantised(first: int, last: int, **more: Any) -> dict[str, Any]:
    """What makes a preset short: the epochs of quantisation, the last of them the last of all; and more keys."""
    strategy = "strategies.quantization_strategy"
    return {"epoch": last + 1, f"{strategy}.start_epoch": first, f"{strategy}.end_epoch": last, **more}


LIGHT_NAS = {"searched_params": "conv_pw_3/|conv_dw_(2|4)/", "target_flops": 773_000}
"""Few layers, and fewer multiply-adds than the float model's 780,544."""
LEARNED_STEPS = {"weight_quantize_type": "channel_wise_lsq", "activation_quantize_type": "lsq"}
PRESETS = {
    "quantization": quantised(0, 0),
    "filter_pruning_uniform": quantised(2, 2),
    "filter_pruning_sensitive": quantised(
        2, 2, delta_rate=0.4, eval_rate=0.5, **{"strategies.sensitive_pruning_strategy.end_epoch": 1}
    ),
    "quantization_pruning": quantised(1, 2),
    "auto_prune": quantised(2, 2, search_steps=2, parallel=2, retrain_epoch=0),
    "light_nas": quantised(
        2, 2, search_steps=2, parallel=2, retrain_epoch=2, widths=[0.5, 1.0], kernel_sizes=[3, 5], **LIGHT_NAS
    ),
    "distillation": quantised(1, 1, **{"strategies.distillation_strategy.end_epoch": 1}),
    "sparsity": quantised(1, 2, **{"strategies.sparsity_strategy.end_epoch": 1}),
    "clustering": quantised(1, 2, **{"strategies.clustering_strategy.end_epoch": 1}),
    "quantization_distillation": quantised(0, 0, **{"strategies.distillation_strategy.end_epoch": 1}, **LEARNED_STEPS),
}
PRUNED = [name for name in PRESETS if "pruning" in name]
PAGES = (*PRUNED, "sparsity", "auto_prune", "light_nas")
"""Those with something of their own in the report; the others end with the gate and the run on the device."""
ASKED = [
    *(f"results/{name}/device/emulator/report.json" for name in PRESETS),
    *(f"results/{name}/report/report.html" for name in PAGES),
]
UNMEASURED = {"count_instructions": False, "threads": [1], "warmup": 0, "repeats": 1, "pictures": 10}
"""Of the device section: what costs time in the emulator and is tested elsewhere."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Behind the data, the float model and the demo of the small run."""
    project = copied(tmp_path_factory.mktemp("presets"), without=("results",))
    listed: dict[str, Any] = {
        name: {"compress.config": f"config/compress/{name}.yaml", "compress.overrides": short}
        for name, short in PRESETS.items()
    }
    listed["light_nas"] |= {"compress.learning_rate": 0.05}  # as high as that of float training: its weights are new
    # the small network forgets much in so few epochs: that each ships is asked for here, not how good it is
    sections = {
        "compress": {"learning_rate": 0.02},
        "accuracy": {"max_drop": 60, "worse_than_ptq": "allow"},
        "device": UNMEASURED,
        "evaluate": {"repeats": 1},
        "experiments": listed,
    }
    (project.folder / "presets.yaml").write_text(json.dumps(sections))
    answer = project.snakemake("--cores", "2", *ASKED, *SMALL, "presets.yaml")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return project


def test_every_preset_is_there():
    there = {path.stem for path in (ROOT / "config/compress").glob("*.yaml")}
    assert there - {"test"} == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_ends_in_an_int8_model_whose_integers_the_device_has(finished, preset):
    results = finished.folder / "results" / preset
    exported = load_any(results / "output/int8")
    content = (results / f"{preset}_opt/model.tflite").read_bytes()
    assert sum(assert_kept(content, exported, load_file(results / "output/int8/weights"))) == 10
    report = json.loads((results / "device/emulator/report.json").read_text())
    agreement = report["models"]["int8"]["agreement"]
    assert agreement["integer_part"]["bit_equal"] and agreement["pictures"] == 10
    gate = json.loads((results / "gate.json").read_text())
    assert gate["against_float"]["top1"] > 0.3, "three times what guessing gives"


@pytest.mark.parametrize("preset", PRUNED)
def test_a_pruned_model_has_half_of_the_multiply_adds(finished, preset):
    whole = load(finished.folder / "pretrain/MobileNetV1_digits_pretrained")
    results = finished.folder / "results" / preset
    thin = load(results / "trained")
    assert total(thin).multiply_adds / total(whole).multiply_adds == pytest.approx(0.5, abs=0.03)
    size = (results / f"{preset}_opt/model.tflite").stat().st_size
    assert size < 0.8 * (results / f"{preset}_ptq/model.tflite").stat().st_size
    page = (results / "report/report.html").read_text()
    assert 'id="pruning"' in page
    assert ("<h3>Sensitivities before epoch 0</h3>" in page) == (preset == "filter_pruning_sensitive")
    if preset == "filter_pruning_sensitive":
        kept = json.loads((results / "sensitivities.data").read_text())
        assert all(group["pruned_percent"] == [0.4, 0.8] for group in kept["groups"].values())


def outcomes(search: Path) -> dict[int, dict[str, Any]]:
    """What each candidate of a search came to, by its number, with the bytes of its file."""
    contents = [path.read_bytes() for path in search.glob("round_*/candidate_*/outcome.json")]
    files = [(json.loads(content), content) for content in contents]
    return {found["number"]: {**found, "bytes": content} for found, content in files}


def test_the_best_candidate_of_a_search_is_what_is_trained(finished):
    results = finished.folder / "results/auto_prune"
    whole = total(load(finished.folder / "pretrain/MobileNetV1_digits_pretrained")).multiply_adds
    tried = outcomes(results / "search")
    assert set(tried) == {1, 2}
    assert all(0.45 <= 1 - one["size"]["multiply_adds"] / whole <= 0.55 for one in tried.values())
    best = json.loads((results / "search/best/best.json").read_text())["best"]
    assert best["reward"] == max(one["reward"] for one in tried.values())
    assert total(load(results / "trained")).multiply_adds == best["size"]["multiply_adds"]
    manifest = json.loads((results / "trained/manifest.json").read_text())
    assert manifest["pruning"][0]["ratios"] == best["about"]["ratios"]
    assert "results/auto_prune/search/best/best.json" in manifest["provenance"]["inputs"]
    summary = json.loads((results / "summary.json").read_text())
    assert summary["search"]["best"]["candidate"]["number"] == best["number"]
    page = (results / "report/report.html").read_text()
    assert 'id="search"' in page and "<h3>Candidates of the search</h3>" in page
    assert 'id="search"' not in (finished.folder / "results/sparsity/report/report.html").read_text()
    assert "AutoPruneStrategy tried 2 candidates" in (results / "report/summary.txt").read_text()


def test_the_best_network_of_a_search_is_the_one_that_is_trained(finished):
    results = finished.folder / "results/light_nas"
    tried = outcomes(results / "search")
    assert set(tried) == {1, 2}
    for number, one in tried.items():
        (folder,) = (results / "search").glob(f"round_*/candidate_{number}")
        assert total(load(folder)).multiply_adds == one["size"]["multiply_adds"] <= LIGHT_NAS["target_flops"]
        assert one["reward"] == one["metric"]
    best = json.loads((results / "search/best/best.json").read_text())["best"]
    assert best["reward"] == max(one["reward"] for one in tried.values())
    shapes = {name: values.shape for name, values in load(results / "search/best").weights.items()}
    assert {name: values.shape for name, values in load(results / "trained").weights.items()} == shapes
    about = best["about"]
    assert {name: shapes[name][-1] for name in about["channels"]} == about["channels"]
    assert {name: shapes[name][0] for name in about["windows"]} == about["windows"]
    manifest = json.loads((results / "trained/manifest.json").read_text())
    assert "results/light_nas/search/best/weights" in manifest["provenance"]["inputs"]
    assert "LightNASStrategy tried 2 candidates" in (results / "report/summary.txt").read_text()


def test_another_run_has_nothing_to_do(finished):
    assert finished.plan(*ASKED, *SMALL, "presets.yaml") == {}


@pytest.mark.parametrize(
    ("key", "value", "again"),
    [
        ("quantization_strategy.weight_quantize_type", "channel_wise_abs_max", {}),
        ("auto_pruning_strategy.start_epoch", 1, {}),
        ("auto_pruning_strategy.max_ratio", 0.54, {"propose_candidates": 1}),
        ("auto_pruning_strategy.retrain_epoch", 1, {"evaluate_candidate": 2, "conclude_search": 1}),
    ],
)
def test_a_search_is_made_again_for_what_shapes_it_alone(finished, key, value, again):
    written = (finished.folder / "presets.yaml").read_text()
    sections = json.loads(written)
    overrides = sections["experiments"]["auto_prune"]["compress.overrides"]
    overrides.pop(key.split(".")[-1], None)  # the same key without its strategy would be without effect
    overrides[f"strategies.{key}"] = value
    try:
        (finished.folder / "presets.yaml").write_text(json.dumps(sections))
        plan = finished.plan("results/auto_prune/search/best/best.json", *SMALL, "presets.yaml")
    finally:
        (finished.folder / "presets.yaml").write_text(written)
    assert {rule: plan.get(rule) for rule in again} == again
    assert bool(plan) == bool(again)


def test_a_longer_search_that_is_killed_evaluates_the_unfinished_candidates_alone(finished):
    """Behind those that look at the shorter one."""
    sections = json.loads((finished.folder / "presets.yaml").read_text())
    sections["experiments"]["auto_prune"]["compress.overrides"]["search_steps"] = 4
    (finished.folder / "presets.yaml").write_text(json.dumps(sections))
    search = finished.folder / "results/auto_prune/search"
    asked = ("results/auto_prune/search/best/best.json", *SMALL, "presets.yaml")
    logs = [finished.folder / f"logs/evaluate_candidate/auto_prune.2.{number}.log" for number in (3, 4)]
    before = outcomes(search)
    assert finished.plan(*asked) == {"propose_candidates": 1, "evaluate_candidate": 2, "conclude_search": 1}
    run = finished.start("snakemake", "--cores", "2", *asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 300
        while not all(log.exists() for log in logs):  # each takes both cores: the first is done when the second begins
            assert run.poll() is None and time.monotonic() < until
            time.sleep(0.1)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    half = outcomes(search)
    assert len(half) == 3
    assert finished.plan(*asked) == {"evaluate_candidate": 1, "conclude_search": 1}
    answer = finished.snakemake("--cores", "2", *asked)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    after = outcomes(search)
    assert set(after) == {1, 2, 3, 4}
    assert {number: after[number]["bytes"] for number in half} == {n: one["bytes"] for n, one in half.items()}
    assert {number: after[number]["bytes"] for number in before} == {n: one["bytes"] for n, one in before.items()}
    *_, last = (search / "best/history.csv").read_text().splitlines()
    assert float(last.split(",")[4]) == max(one["reward"] for one in after.values())


def test_a_training_begins_with_a_pruned_model(finished):
    """The last of all, since it adds an experiment."""
    sections = json.loads((finished.folder / "presets.yaml").read_text())
    thin = "results/filter_pruning_uniform/trained"
    again = {"compress.config": "config/compress/test.yaml", "compress.overrides": {"init_model": thin}}
    sections["experiments"]["again"] = again
    (finished.folder / "again.yaml").write_text(json.dumps(sections))
    asked = ("compress", *SMALL, "again.yaml", "--config", "only=again")
    assert finished.plan(*asked) == {"train_int8": 1, "compress": 1}
    answer = finished.snakemake("--cores", "2", *asked)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    first, second = (load(finished.folder / f"results/{name}/trained") for name in ("filter_pruning_uniform", "again"))
    assert {name: values.shape for name, values in second.weights.items()} == {
        name: values.shape for name, values in first.weights.items()
    }
    log = (finished.folder / "logs/train_int8/again.log").read_text()
    (top1,) = re.findall(r"validation top-1 ([\d.]+) in float", log)
    with (finished.folder / thin / "history.csv").open(newline="") as file:
        *_, last = csv.DictReader(file)
    assert float(top1) == pytest.approx(float(last["validation_top1"]), abs=0.05), "it goes on from there"
    assert finished.plan(*asked) == {}
    (finished.folder / thin / "weights").write_bytes(
        (finished.folder / "results/quantization_pruning/trained/weights").read_bytes()
    )
    assert finished.plan(*asked).get("train_int8"), "the graph is an input"
