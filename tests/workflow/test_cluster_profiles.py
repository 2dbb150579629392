"""The profiles for clusters: what they say, by dry runs, and a run by submit command with a stand-in for qsub.

Slurm's own run is in test_slurm.py; here no cluster is needed.
"""

import itertools
import json
import os
import re

import pytest
import yaml

from helpers.kubernetes_standin import kubernetes
from helpers.workflow_helpers import PROGRAMS, ROOT, SMALL, Project, copy_project, planned

pytestmark = pytest.mark.workflow

CLUSTERS = ("slurm", "kubernetes", "cluster-generic")
LOCAL = {
    *("fetch_runtime", "fetch_model", "build_mobile_light", "write_config", "export_models", "optimize_int8"),
    *(
        "optimize_float",
        "optimize_quantised",
        "take_float_model",
        "take_ptq_model",
        "pack_model",
        "write_microcontroller",
        "require_accuracy",
        "require_device",
        "run_on_device",
        "gate_device",
        "adopt_ready_model",
        "make_report",
        "write_model_card",
        "describe_run",
        "compare_experiments",
        "propose_candidates",
        "conclude_search",
        "measure_latency",
    ),
}
QSUB = """\
#!/bin/bash
echo "$@" >>{log}
setsid bash "${{@: -1}}" >/dev/null 2>&1 &
echo "$!.server"
"""


def profile(name: str) -> dict:
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


def rules_of_the_workflow() -> list[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    return re.split(r"^(?=rule |checkpoint |use rule |    rule)", text, flags=re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_dry_run_plans_what_the_default_profile_plans(project, name):
    text = project.dry_run("--workflow-profile", f"profiles/{name}", "all", *SMALL)
    assert planned(text) == project.plan("all", *SMALL)
    extra = dict(re.findall(r"^rule (\w+):.*?slurm_extra=(.*?), runtime", text, re.MULTILINE | re.DOTALL))
    if name == "slurm":
        assert "--exclusive" in extra["evaluate_tflite"]
        assert extra["train_int8"] == "'--signal=TERM@120'"


def test_gpus_are_asked_for_by_what_trains(project):
    search = "compress: {config: config/compress/auto_prune.yaml}\n"
    (project.folder / "search.yaml").write_text(search)
    (project.folder / "gpus.yaml").write_text(search + "hardware: {gpus: 2}\n")
    for overlays, expected in ((("gpus.yaml",), "2"), (("search.yaml",), "0")):
        text = project.dry_run("--workflow-profile", "profiles/slurm", "all", *SMALL, *overlays)
        blocks = re.split(r"^(?:local)?(?:rule|checkpoint) ", text, flags=re.MULTILINE)[1:]
        asked = {block.partition(":")[0]: re.search(r"\bgpu=(\d+)", block) for block in blocks}
        found = {rule: gpus[1] for rule, gpus in asked.items() if gpus}
        trains = ("make_pretrained", "evaluate_candidate", "train_int8", "evaluate_fake_quant")
        assert found == dict.fromkeys(trains, expected)


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_s_profile_repeats_the_default_one_which_it_replaces(name):
    found = profile(name)
    default = profile("default")
    assert {key: found[key] for key in default if key != "resources"} == {
        key: value for key, value in default.items() if key != "resources"
    }
    assert "adb=1" in found["resources"]
    assert found["retries"] >= 1


@pytest.mark.parametrize("name", ["default", *CLUSTERS])
def test_each_key_is_explained(name):
    lines = (ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8").splitlines()
    shared = lines.index("# As in profiles/default.") if name != "default" else len(lines)
    for before, line in itertools.pairwise(lines[:shared]):
        if re.match(r"[a-z]", line):
            assert before.startswith("#"), line


def test_retries_are_never_a_rule_s_but_where_it_is_local():
    for rule in rules_of_the_workflow():
        if re.search(r"^ +retries:", rule, re.MULTILINE):
            assert "localrule: True" in rule


def test_rules_that_are_cheap_or_need_the_device_are_local():
    local = set()
    for rule in rules_of_the_workflow():
        (name, *_) = re.findall(r'as (\w+) with|^ +"(export_models)"|^(?:rule|checkpoint) (\w+)', rule, re.MULTILINE)
        if "localrule: True" in rule and "log:" in rule:
            local.add("".join(name))
    assert local == LOCAL


def test_a_submit_command_gets_the_resources_and_its_job_runs(project, tmp_path):
    programs, log = tmp_path / "bin", tmp_path / "submitted"
    programs.mkdir()
    (programs / "qsub").write_text(QSUB.format(log=log))
    (programs / "qsub").chmod(0o755)
    path = f"{programs}:{PROGRAMS}:{os.environ['PATH']}"
    answer = Project(project.folder, {"PATH": path}).snakemake(
        "--workflow-profile", "profiles/cluster-generic", "--latency-wait", "5", "--seconds-between-status-checks", "1",
        "data", *SMALL,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (submitted,) = log.read_text().splitlines()
    assert submitted.startswith(
        "-V -N prepare_data -j oe -o .snakemake -l select=1:ncpus=4:mem=4800mb -l walltime=30:00 "
    )
    assert (project.folder / "data/digits/manifest.json").is_file()


EDITING_QSUB = """\
#!/bin/bash
cp edited.yaml submitted.yaml
bash "${{@: -1}}" >{log} 2>&1 &
echo "$!.server"
"""
"""Stands for a queue in which a job waits: its settings are edited before it starts."""


def test_a_job_whose_settings_were_edited_while_it_was_queued_does_not_start(project, tmp_path):
    programs, log = tmp_path / "bin", tmp_path / "job.log"
    programs.mkdir()
    (programs / "qsub").write_text(EDITING_QSUB.format(log=log))
    (programs / "qsub").chmod(0o755)
    (project.folder / "submitted.yaml").write_text("experiment: queued\ndata: {name: queued}\n")
    (project.folder / "edited.yaml").write_text("experiment: queued\ndata: {name: queued, calibration: 7}\n")
    answer = Project(project.folder, {"PATH": f"{programs}:{PROGRAMS}:{os.environ['PATH']}"}).snakemake(
        "--workflow-profile", "profiles/cluster-generic", "--latency-wait", "1", "--retries", "0",
        "--seconds-between-status-checks", "1",
        "--cluster-generic-submit-cmd", "qsub", "data", *SMALL, "submitted.yaml",
    )  # fmt: skip
    assert answer.returncode == 1
    assert "error: the settings of queued were edited after this run was planned" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not (project.folder / "data/queued").exists()
    # what a new run is planned with is what its jobs get
    assert project.snakemake("--cores", "2", "data", *SMALL, "submitted.yaml").returncode == 0
    calibration = json.loads((project.folder / "data/queued/calibration.json").read_text())
    assert len(calibration["pictures"]) == 7


def test_a_pod_runs_the_job_in_the_shared_folder(tmp_path):
    shared = copy_project(tmp_path / "shared")
    bare = {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "HOME": str(tmp_path)}
    with kubernetes(tmp_path, bare) as cluster:
        answer = Project(shared.folder, {"KUBECONFIG": str(cluster.configuration)}).snakemake(
            "--workflow-profile", "profiles/kubernetes", "--latency-wait", "5", "--seconds-between-status-checks", "1",
            "data", *SMALL,
        )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (job,) = cluster.jobs
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["requests"]["memory"] == "4800M"
    assert {"name": "qatflow", "mountPath": "/qatflow"} in container["volumeMounts"]
    assert container["image"] == "qatflow:latest"
    assert (shared.folder / "data/digits/manifest.json").is_file()
    assert any((shared.folder / "data/digits").glob("*.tfrecord"))
    assert not list((tmp_path / "workdir").iterdir())
