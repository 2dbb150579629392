"""Jobs behind an `ancient` input, by real runs of Snakemake: planned by what has changed for them alone."""

import re
from pathlib import Path

import pytest

from helpers.workflow_helpers import Project, environment

pytestmark = pytest.mark.workflow

SNAKEFILE = """\
{mend}
rule all:
    input: "device.txt", lambda wildcards: checkpoints.gate.get().output[0]
rule model:
    output: "model.txt"
    params: config.get("seed", 1)
    shell: "echo {{params}} > {{output}}"
checkpoint gate:
    input: "model.txt"
    output: "gate.txt"
    params: config.get("limit", 1)
    shell: "echo {{params}} > {{output}}"
rule passed:
    input: "gate.txt"
    output: touch("passed")
rule device:
    input: model="model.txt", passed=ancient("passed")
    output: "device.txt"
    params: config.get("pictures", 1)
    shell: "cat model.txt > {{output}}; echo {{params}} >> {{output}}"
"""
MEND = "from qatflow.workflow.ancient import plan_behind_ancient_inputs\nplan_behind_ancient_inputs()"


def ran(project: Project, *settings: str) -> set[str]:
    """Run with settings; return the rules whose jobs ran."""
    answer = project.run("python", "-m", "snakemake", "--cores", "1", "--config", *settings)
    assert answer.returncode == 0, answer.stderr
    return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", answer.stderr, re.MULTILINE)) - {"all"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(mend=MEND))
    project = Project(tmp_path, {"PYTHONPATH": environment().get("PYTHONPATH", "")})
    assert ran(project, "seed=1") == {"model", "gate", "passed", "device"}
    return project


def test_a_gate_that_is_judged_again_is_no_reason_to_measure_again(project):
    assert ran(project, "limit=2") == {"gate", "passed"}
    assert ran(project, "limit=2") == set()


def test_a_setting_of_its_own_is_one_though_the_gate_is_judged_again_too(project):
    assert ran(project, "limit=2", "pictures=5") == {"gate", "passed", "device"}
    assert (project.folder / "device.txt").read_text().split() == ["1", "5"]


def test_another_model_is_one_after_the_checkpoint_too(project):
    assert ran(project, "seed=3") == {"model", "gate", "device"}  # the gate says the same, so its mark stays
    assert (project.folder / "device.txt").read_text().split() == ["3", "1"]
    assert ran(project, "seed=3") == set()
