"""A compress YAML that is edited after a run was planned changes nothing that the run trains."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from helpers.small_run import SETTINGS, copied
from helpers.workflow_helpers import PROGRAMS, Project, artefacts, environment

pytestmark = pytest.mark.e2e

RECIPE = "config/compress/test.yaml"
EDITED = """\
strategies:
  q: {class: QuantizationStrategy, end_epoch: 0, weight_quantize_type: channel_wise_abs_max, float_model_save_path: ./f}
compressor: {epoch: 1, strategies: [q], checkpoint_path: ./checkpoints_quan/}
"""
EDITING = f"""\
#!/bin/sh
case "$1" in *compress.py|*export.py) cp edited.yaml {RECIPE};; esac
exec {sys.executable} "$@"
"""
"""Stands for Python: a recipe is edited after its job was planned, and before it starts."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project after a run in which nothing was edited."""
    project = copied(tmp_path / "project")
    (project.folder / "edited.yaml").write_text(EDITED)
    (project.folder / "editing").mkdir()
    python = project.folder / "editing/python"
    python.write_text(EDITING)
    python.chmod(0o755)
    return project


def test_a_recipe_edited_after_the_plan_trains_and_exports_what_was_planned(project):
    unedited, planned = artefacts(project.folder), (project.folder / RECIPE).read_text()
    shutil.rmtree(project.folder / "results")
    path = f"{project.folder / 'editing'}:{PROGRAMS}:{environment()['PATH']}"
    answer = Project(project.folder, {"PATH": path}).snakemake("--cores", "2", "export", *SETTINGS)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    edited = artefacts(project.folder)
    assert (project.folder / RECIPE).read_text() == EDITED
    results = "results/digits_quant"
    for folder in ("trained", *(f"output/{kind}" for kind in ("float", "int8", "mobile"))):
        assert {f"{results}/{folder}/{file}" for file in ("weights", "manifest.json")} <= set(edited)
    assert edited == {name: unedited[name] for name in edited}
    trained = json.loads((project.folder / results / "trained/manifest.json").read_text())
    recipe = trained["provenance"]["settings"]["recipe"]
    (strategy,) = recipe["strategies"].values()
    assert recipe["compressor"]["epoch"] == 2 and strategy["weight_quantize_type"] == "abs_max"
    # what is recorded is what was planned: the edited recipe is trained by the next run
    assert set(project.plan("export", *SETTINGS)) == {"train_int8", "export_models", "export"}
    (project.folder / RECIPE).write_text(planned)
    assert project.plan("export", *SETTINGS) == {}
