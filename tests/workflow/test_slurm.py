"""The workflow on a real Slurm: submitted, interrupted, killed, out of time; its results are those of a local run.

The inputs are arrays.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers import slurm_cluster
from helpers.places import HELPERS
from helpers.slurm_cluster import Slurm
from helpers.workflow_helpers import Project, artefacts, copy_project

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(slurm_cluster.impossible() is not None, reason=f"no Slurm: {slurm_cluster.impossible()}"),
]

LIMIT = 240_000
"""Instructions of a candidate's int8 model: the whole network's has 251,325 by the table."""
EXPERIMENTS = ("killed", "late")
OVERLAY = f"""\
data: {{name: arrays, source: arrays, path: digits.npz, preprocessing: {{resize: none, mean: [8], std: [8]}}}}
model: {{function: "few_layers:narrow_mobilenet", alpha: null}}
pretrained: {{name: cluster, train: {{epochs: 2, augmentation: none}}}}
compress: {{checkpoint_steps: 2, augmentation: none}}
accuracy: {{max_drop: null, worse_than_ptq: allow}}
device: {{pictures: 3, threads: [1], warmup: 0, repeats: 1}}
evaluate: {{repeats: 3}}
experiments:
  killed: {{epoch: 8, end_epoch: 7, device.count_instructions: false}}
  late:
    compress.config: config/compress/light_nas.yaml
    compress.learning_rate: 0.05
    strategies.quantization_strategy.start_epoch: 0
    strategies.quantization_strategy.end_epoch: 7
    epoch: 8
    search_steps: 2
    parallel: 2
    retrain_epoch: 3
    searched_params: conv_pw_3/
    widths: [0.5, 0.75, 1.0]
    kernel_sizes: []
    target_flops: 0
    target_latency: {LIMIT}
"""
"""The second trains the best network of a search."""
FILES = ("--configfile", "config/test.yaml", "cluster.yaml")
LOCAL = ("snakemake", "--cores", "all", "all", *FILES)  # as many threads as a job gets on this node
# A test waits for its jobs by the second; a user, for hours. The job that is late is not warned.
SUBMIT = (
    "snakemake", "--workflow-profile", "profiles/slurm", "--set-resources",
    "train_int8:slurm_extra='' if wildcards.experiment == 'late' else '--signal=TERM@120'",
    "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1", "--latency-wait", "5",
)  # fmt: skip
TIMED = {
    *("evaluation.json", "summary.json", "report.json", "output.txt", "summary.txt", "report.html"),
    *("MODEL_CARD.md", "ro-crate-metadata.json"),
    *("device_gate.json", "comparison.csv", "comparison.txt", "comparison.html", "pareto.svg"),
    "time.node_data.json",
}
"""Files with times in them, which differ from run to run."""
SUBMITTED = {
    *("prepare_data", "make_pretrained", "train_int8", "quantise_after_training"),
    *("gate_accuracy", "inspect_layers", "evaluate_fake_quant", "evaluate_tflite"),
    "evaluate_candidate",
}
"""The rules that look at pictures by the thousand; the others are local."""


@dataclass(frozen=True)
class Finished:
    """Both runs of the two experiments.

    Attributes:
        local: the project that ran on this machine.
        submitted: the one that ran on Slurm.
        printed: by the latter.
        jobs: what Slurm noted of its jobs, by rule and wildcard, in the order of the attempts.
        interrupted: states that the jobs had after an interrupted run before it.
    """

    local: Project
    submitted: Project
    printed: str
    jobs: dict[str, list[dict[str, str]]]
    interrupted: dict[str, str]


def project(folder: Path, environment: dict[str, str]) -> Project:
    copy_project(folder)
    (folder / "cluster.yaml").write_text(OVERLAY)
    shutil.copy(HELPERS / "few_layers.py", folder)
    digits = load_digits()  # each of 8 × 8 pixels from 0 to 16
    inputs = np.kron(digits.images, np.ones((4, 4))).astype(np.float32)
    np.savez(folder / "digits.npz", inputs=inputs, labels=digits.target)
    return Project(folder, environment)


def interrupt(submitted: Project, cluster: Slurm) -> dict[str, str]:
    """Start a run, press Ctrl-C when its job is submitted, and return the states of all jobs when it has ended."""
    printed = submitted.folder / ".interrupted"
    with printed.open("w") as out:
        process = submitted.start(*SUBMIT, "data", *FILES, stdout=out, stderr=subprocess.STDOUT)
    while "prepare_data (arrays): submitted as Slurm's job " not in printed.read_text():
        assert process.poll() is None, printed.read_text()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    assert "SLURM" not in printed.read_text(), "of the plugin's own words nothing is left"
    deadline = time.monotonic() + 30
    while "COMPLETING" in cluster.jobs().values() and time.monotonic() < deadline:
        time.sleep(0.2)
    return cluster.jobs()


@dataclass(frozen=True)
class Trainer:
    """A process of the submitted run that trains, and its job."""

    pid: int
    job: str


def trainer(submitted: Project, experiment: str, says: str) -> Trainer | None:
    """Return the trainer of an experiment whose log says something."""
    log = submitted.folder / f"logs/train_int8/{experiment}.log"
    if not (log.exists() and re.search(says, log.read_text(), re.MULTILINE | re.DOTALL)):
        return None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if f"results/{experiment}".encode() in command and (process / "cwd").readlink() == submitted.folder:
                environment = dict(
                    line.partition("=")[::2] for line in (process / "environ").read_text().split("\0") if line
                )
                return Trainer(int(process.name), environment["SLURM_JOB_ID"])
        except OSError:  # it has ended
            continue
    return None


def limit(cluster: Slurm, job: str, minutes: int) -> None:
    """Set a job's time limit to the next full minute, and more of them."""
    elapsed = cluster.ask("squeue", "--noheader", "--job", job, "-o", "%M").strip()
    cluster.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={int(elapsed.split(':')[-2]) + minutes}")


def strike(submitted: Project, cluster: Slurm, process: "subprocess.Popen[str]") -> None:
    """Meddle with training while it goes on: kill it, and give what then goes on, and another, too little time.

    Who is short of time hangs, as on a node that swaps; Slurm's signals wake it again. They
    come at the end, or two minutes before, for Slurm looks twice a minute.
    """
    in_second_epoch, resumed = r"^epoch 1 ", r"^resumed at .*^epoch \d"
    left = [("killed", in_second_epoch, 0), ("late", in_second_epoch, 1), ("killed", resumed, 2)]
    deadline = time.monotonic() + 1200
    while left:
        assert process.poll() is None and time.monotonic() < deadline, f"did not come to {left}"
        time.sleep(0.05)
        for experiment, says, minutes in tuple(left):
            found = trainer(submitted, experiment, says)
            if found is None:
                continue
            left.remove((experiment, says, minutes))
            os.kill(found.pid, signal.SIGSTOP if minutes else signal.SIGKILL)
            if minutes:
                limit(cluster, found.job, minutes)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm_cluster.slurm(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cluster: Slurm) -> Finished:
    local = project(tmp_path_factory.mktemp("local"), {})
    submitted = project(tmp_path_factory.mktemp("submitted"), cluster.environment)
    interrupted = interrupt(submitted, cluster)
    with (local.folder / ".printed").open("w") as there, (submitted.folder / ".printed").open("w") as here:
        beside = local.start(*LOCAL, stdout=there, stderr=subprocess.STDOUT)
        process = submitted.start(*SUBMIT, "--verbose", "all", *FILES, stdout=here, stderr=subprocess.STDOUT)
        try:
            strike(submitted, cluster, process)
            process.wait(1200)
            beside.wait(600)
        finally:
            for each in (process, beside):
                if each.poll() is None:
                    os.killpg(each.pid, signal.SIGKILL)
                    each.wait()
    printed = (submitted.folder / ".printed").read_text()
    assert process.returncode == 0, printed
    assert beside.returncode == 0, (local.folder / ".printed").read_text()
    noted = {job["JobId"]: job for job in cluster.finished()}
    jobs: dict[str, list[dict[str, str]]] = {}
    for name, number in re.findall(r"submitted with SLURM jobid \d+ \(log: .*/rule_([\w/]+)/(\d+)\.log\)", printed):
        jobs.setdefault(name, []).append(noted[number])
    return Finished(local, submitted, printed, jobs, interrupted)


def test_ctrl_c_cancels_what_was_submitted(finished):
    assert set(finished.interrupted.values()) == {"CANCELLED"}


def test_what_is_cheap_and_what_needs_the_device_stays_here(finished):
    assert {name.split("/")[0] for name in finished.jobs} == SUBMITTED


@pytest.mark.parametrize(
    ("experiment", "ended"), [("killed", ["FAILED", "FAILED", "COMPLETED"]), ("late", ["TIMEOUT", "COMPLETED"])]
)
def test_training_that_is_killed_or_out_of_time_goes_on_in_the_next_job(finished, experiment, ended):
    assert [job["JobState"] for job in finished.jobs[f"train_int8/{experiment}"]] == ended
    log = (finished.submitted.folder / f"logs/train_int8/{experiment}.log").read_text()
    (epoch,) = re.findall(r"^resumed at epoch (\d+), step \d+ of \d+$", log, re.MULTILINE)
    assert int(epoch) >= 1


def test_a_job_at_its_limit_or_warned_of_it_saves_its_state_and_its_log_is_shown(finished):
    shown = re.findall(
        r"^Logfile logs/train_int8/(\w+)\.log:\n=+\n(.*?)^=====", finished.printed, re.MULTILINE | re.DOTALL
    )
    said = "the state is saved"
    assert {(name, said in log) for name, log in shown} == {("killed", False), ("killed", True), ("late", True)}


def test_each_attempt_asks_for_twice_the_memory_and_time_of_the_one_before(finished):
    jobs = finished.jobs["train_int8/killed"]
    first, second, third = (int(re.findall(r"mem=(\d+)M", job["Tres"])[0]) for job in jobs)
    assert (second, third) == (2 * first, 4 * first)
    assert int(jobs[2]["TimeLimit"]) == 4 * int(jobs[0]["TimeLimit"])  # the second's was changed while it ran


def test_candidates_of_a_search_are_evaluated_side_by_side(finished):
    (one,), (other,) = (jobs for name, jobs in finished.jobs.items() if name.startswith("evaluate_candidate/"))
    assert one["StartTime"] < other["EndTime"] and other["StartTime"] < one["EndTime"]


def test_a_search_keeps_a_limit_of_measured_instructions_and_foretells_those_of_the_trained_model(finished):
    results = finished.submitted.folder / "results/late"
    found = json.loads((results / "search/best/best.json").read_text())
    assert len(found["outcomes"]) == 2
    sizes = [one["size"] for one in found["outcomes"]]
    assert all(size["latency"] <= LIMIT and size["multiply_adds"] < found["whole"]["multiply_adds"] for size in sizes)
    report = json.loads((results / "device/emulator/report.json").read_text())
    counted = report["models"]["int8"]["instructions"]
    assert found["best"]["size"]["latency"] == pytest.approx(counted, rel=0.1)


def test_the_artefacts_are_those_of_a_local_run(finished):
    there, here = artefacts(finished.local.folder), artefacts(finished.submitted.folder)
    assert there.keys() == here.keys()
    assert sum(name.endswith(("model", "weights", "model.tflite")) for name in there) > 20
    other = {name for name in there if there[name] != here[name] and Path(name).name not in TIMED}
    assert other - {"data/.download/arrays/unpacked.json"} == set()  # which has the time of the .npz file
    for experiment in EXPERIMENTS:
        one, other = (
            json.loads((run.folder / f"results/{experiment}/evaluation.json").read_text())["models"]
            for run in (finished.local, finished.submitted)
        )
        assert {"float", "ptq"} <= one.keys() == other.keys()
        assert [one[name]["confusion"] for name in one] == [other[name]["confusion"] for name in one]
        (report,) = (finished.submitted.folder / f"results/{experiment}/device").glob("*/report.json")
        agreement = json.loads(report.read_text())["models"]["int8"]["agreement"]
        assert agreement["integer_part"]["bit_equal"] and agreement["pictures"] == 3
    compared = []
    for run in (finished.local, finished.submitted):
        with (run.folder / "results/comparison/comparison.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        compared.append([{key: row[key] for key in row if not key.endswith(("_ms", "_s"))} for row in rows])
    assert compared[0] == compared[1] and len(compared[0]) == len(EXPERIMENTS)


def test_slurm_leaves_nothing_in_etc(finished):
    assert not os.path.lexists(slurm_cluster.SYSTEM_CONFIGURATION)
