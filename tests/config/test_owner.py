"""Two configuration files that name one experiment: neither replaces the other's results without a word."""

import shutil
from pathlib import Path

import pytest

from helpers.workflow_helpers import SMALL, Project, copy_project
from qatflow.base.files import read_json
from qatflow.config.results_owner import RECORD

RESULTS = "results/digits_quant"
TARGET = f"{RESULTS}/.config_written"
"""What the rule makes last: a target of one job, where the target `report` has all."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("written"))
    answer = project.snakemake("--cores", "1", TARGET, *SMALL)
    assert answer.returncode == 0, answer.stderr
    return project


@pytest.fixture
def project(written: Project, tmp_path: Path) -> Project:
    """The project with the resolved configuration of config/test.yaml in the results."""
    shutil.copytree(written.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.mark.workflow
def test_a_second_file_with_the_same_experiment_is_refused_and_the_results_stay(project):
    other = project.folder / "config/other.yaml"
    small = (project.folder / "config/test.yaml").read_text()
    other.write_text(f"{small}seed: 2\n")
    before = {path: path.read_bytes() for path in (project.folder / RESULTS).iterdir()}
    for mode in (["-n"], ["--cores", "1"]):
        answer = project.snakemake(*mode, TARGET, "--configfile", "config/other.yaml")
        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr.endswith(
            "error: config/other.yaml: experiment: 'digits_quant' is also that of config/test.yaml, whose results are "
            "in results/digits_quant/ and would be replaced; give one of the two files another `experiment`, or "
            "remove results/digits_quant/\n"
        )
    assert {path: path.read_bytes() for path in (project.folder / RESULTS).iterdir()} == before
    # each of the three ways out
    other.write_text(small.replace("experiment: digits_quant", "experiment: other") + "seed: 2\n")
    assert project.plan("results/other/.config_written", "--configfile", "config/other.yaml") == {"write_config": 1}
    other.write_text(f"{small}seed: 2\n")
    (project.folder / RESULTS).rename(project.folder / "kept")
    assert project.plan(TARGET, "--configfile", "config/other.yaml") == {"write_config": 1}
    (project.folder / "kept").rename(project.folder / RESULTS)
    (project.folder / "config/test.yaml").unlink()
    assert project.plan(TARGET, "--configfile", "config/other.yaml") == {"write_config": 1}


@pytest.mark.workflow
def test_an_overlay_an_edit_a_copy_and_the_written_file_are_the_same_experiment(project):
    folder = project.folder
    (folder / "overlay.yaml").write_text("seed: 2\n")
    (folder / "copy.yaml").write_text((folder / "config/test.yaml").read_text())
    assert project.plan(TARGET, "--configfile", "copy.yaml") == {}
    assert project.plan(TARGET, *SMALL, "overlay.yaml") == {"write_config": 1}
    assert project.plan(TARGET, *SMALL, "--config", "seed=3") == {"write_config": 1}
    written = ("--configfile", f"{RESULTS}/config.yaml", "--config", "seed=3")
    assert project.snakemake("--cores", "1", TARGET, *written).returncode == 0
    assert read_json(folder / RESULTS / RECORD) == [SMALL[1]]
    assert project.plan(TARGET, "--configfile", "./config/test.yaml") == {"write_config": 1}
    assert project.snakemake("--cores", "1", TARGET, *SMALL, "overlay.yaml").returncode == 0
    assert read_json(folder / RESULTS / RECORD) == [SMALL[1], "overlay.yaml"]
    assert project.plan(TARGET, *SMALL) == {"write_config": 1}


@pytest.mark.workflow
def test_a_damaged_record_is_none(project):
    (project.folder / "other.yaml").write_text("experiment: digits_quant\n")
    for record in ("", "{", "[1, {}]", "\xff"):
        (project.folder / RESULTS / RECORD).write_text(record, encoding="latin-1")
        assert "write_config" in project.plan(TARGET, "--configfile", "other.yaml")
