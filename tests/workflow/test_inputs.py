"""The modules in each rule's inputs: their table, and what an edit to the checks makes due."""

import json
import os
import time
from pathlib import Path

import pytest

from helpers.workflow_helpers import ROOT, SMALL, Project, copy_project, jobs
from qatflow.workflow.inputs import PAGE, TABLE, programs, table, with_table

TARGET = "export"
PICTURES = json.dumps({"splits": {name: {"count": 1} for name in ("train", "validation", "test")}})


def test_the_table_of_the_architecture_is_the_one_of_the_code():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert with_table(page, ROOT) == page, "run `python -m qatflow.workflow.inputs`"
    begin, end = TABLE
    assert page.count(begin) == 1 and end in page.partition(begin)[2]


def test_every_script_is_some_rules_program():
    found = dict(programs(ROOT / "workflow/rules"))
    assert set(found.values()) == {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert {
        "train_int8": "compress",
        "export_models": "export",
        "take_ptq_model": "take_model",
    }.items() <= found.items()
    assert len(table(ROOT)) == len(set(found.values())) + 2  # and two of the head


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, with files in the place of all that the target makes."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    for job in jobs(project.dry_run(TARGET, *SMALL)):
        for output in filter(None, job.outputs):
            path = project.folder / output
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(PICTURES)  # the costs of later jobs are asked of a data set's manifest
    answer = project.snakemake("--cores", "1", "--touch", TARGET, *SMALL)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert project.plan(TARGET, *SMALL) == {}
    return project


def edit(path: Path) -> None:
    """Add a comment to a module, at a time behind that of all that is made."""
    path.write_text(f"{path.read_text(encoding='utf-8')}# edited\n", encoding="utf-8")
    os.utime(path, (time.time() + 5, time.time() + 5))


@pytest.mark.workflow
def test_edited_checks_readers_and_messages_make_no_job_due(done):
    config = done.folder / "src/qatflow/config"
    other = [path for path in config.glob("*.py") if path.name != "__init__.py"]
    for path in [*(config / "checks").glob("*.py"), *(config / "yaml").glob("*.py"), *other]:
        edit(path)
    edit(done.folder / "src/qatflow/workflow/job_options.py")
    assert done.plan(TARGET, *SMALL) == {}
    edit(done.folder / "src/qatflow/compress/run.py")
    assert set(done.plan(TARGET, *SMALL)) == {"train_int8", "export_models", "export"}
