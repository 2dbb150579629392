"""Ctrl-C, as a terminal sends it to all processes of a run: it says that the same command continues, and from where."""

import json
import re
import shutil
import signal
import subprocess

import pytest

from helpers.places import HELPERS
from helpers.workflow_helpers import Project, copy_project
from qatflow.workflow.interrupted import goes_on

OVERLAY = """\
model: {function: "few_layers:build", alpha: null}
pretrained: {train: {epochs: 3, checkpoint_steps: 2}}
"""
COMMAND = ("snakemake", "--cores", "2", "pretrained", "--configfile", "config/test.yaml", "short.yaml")
LOG = "logs/make_pretrained/MobileNetV1_digits.log"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = copy_project(tmp_path_factory.mktemp("interrupted"))
    (made.folder / "short.yaml").write_text(OVERLAY)
    shutil.copy(HELPERS / "few_layers.py", made.folder)
    shutil.copy(HELPERS / "kill_points/sitecustomize.py", made.folder / "src")
    return made


def interrupted(project: Project, program: str, **where: str) -> tuple[int, str]:
    """Run until Ctrl-C comes in a program, before or after a file gets its name; return status and what it printed."""
    mark = project.folder / f".struck_{program}"
    point = {"program": f"scripts/{program}.py", "victims": ["group"], "signal": signal.SIGINT, "mark": str(mark)}
    environment = {"KILL_POINT": json.dumps(point | {"delay": 0.0} | where)}
    process = Project(project.folder, environment).start(*COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed = process.communicate(timeout=120)[0]
    assert mark.exists(), f"the point was not reached: {printed}"
    return process.returncode, printed


@pytest.mark.e2e
def test_after_ctrl_c_the_last_line_says_from_where_the_same_command_goes_on(project):
    status, printed = interrupted(project, "prepare_data", before="/data/digits$")
    assert status != 0
    assert printed.splitlines()[-1] == "interrupted: run the same command again to continue with prepare_data (digits)"
    assert "Traceback" not in printed

    status, printed = interrupted(project, "pretrained", after="checkpoint-00001-0000004")
    assert status != 0
    said = (
        r"interrupted: run the same command again to continue from epoch 1, step (\d+) of make_pretrained "
        r"\(MobileNetV1_digits\)"
    )
    found = re.fullmatch(said, printed.splitlines()[-1])
    assert found and int(found[1]) >= 4, printed
    log = (project.folder / LOG).read_text()
    assert f"interrupted at epoch 1, step {found[1]}; the state is saved" in log
    assert "error" not in printed
    whole = max((project.folder / ".snakemake/log").iterdir(), key=lambda file: file.stat().st_mtime).read_text()
    assert "non-zero exit status 130" in whole.replace("\n", " "), "as a shell reports Ctrl-C"
    assert "Traceback" not in printed + log

    answer = project.run(*COMMAND)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"resumed at epoch 1, step {found[1]} of" in (project.folder / LOG).read_text()
    assert "interrupted:" not in answer.stdout + answer.stderr


def test_the_line_names_each_training_that_was_running_and_what_else_was(tmp_path):
    (tmp_path / "a").write_text("epoch 0, step 50/400: loss 1\ninterrupted at epoch 0, step 57; the state is saved\n")
    (tmp_path / "b").write_text(
        "resumed at epoch 4, step 0 of 9\ninterrupted within a long step; the state of the last checkpoint stands: the "
        "same command continues from epoch 4, step 3\n"
    )
    (tmp_path / "c").write_text("no GPU found: computing on the CPU\n")
    stopped = {"a": tmp_path / "a", "b": tmp_path / "b", "c": tmp_path / "c", "d": tmp_path / "none", "e": None}
    assert goes_on(stopped) == (
        "interrupted: run the same command again to continue from epoch 0, step 57 of a, from epoch 4, step 3 of b, "
        "with c, with d, with e"
    )
    assert goes_on({}) == "interrupted: run the same command again to continue after the last finished stage"
