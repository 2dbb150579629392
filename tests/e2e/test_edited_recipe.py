"""A compress YAML that is edited after a run was planned changes nothing that the run trains."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from helpers.places import HELPERS
from helpers.workflow_helpers import PROGRAMS, Project, artefacts, copy_project, environment

pytestmark = pytest.mark.e2e

SETTINGS = ("--configfile", "config/test.yaml", "few.yaml")
RECIPE = """\
strategies:
  q: {{class: QuantizationStrategy, end_epoch: {last}, weight_quantize_type: {kind}, float_model_save_path: ./float}}
compressor: {{epoch: {epochs}, strategies: [q], checkpoint_path: ./checkpoints_quan/}}
"""
PLANNED = RECIPE.format(last=0, kind="abs_max", epochs=1)
EDITED = RECIPE.format(last=1, kind="channel_wise_abs_max", epochs=2)
EDITING = """\
#!/bin/sh
case "$1" in *compress.py|*export.py) cp edited.yaml recipe.yaml;; esac
exec {python} "$@"
"""
"""Stands for Python: a recipe is edited after its job was planned, and before it starts."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = copy_project(tmp_path)
    shutil.copy(HELPERS / "few_layers.py", tmp_path)
    overlay = {
        "model": {"function": "few_layers:build", "alpha": None},
        "pretrained": {"train": {"epochs": 1}},
        "compress": {"config": "recipe.yaml"},
    }
    (tmp_path / "few.yaml").write_text(json.dumps(overlay))
    (tmp_path / "recipe.yaml").write_text(PLANNED)
    (tmp_path / "edited.yaml").write_text(EDITED)
    (tmp_path / "editing").mkdir()
    python = tmp_path / "editing/python"
    python.write_text(EDITING.format(python=sys.executable))
    python.chmod(0o755)
    return project


def test_a_recipe_edited_after_the_plan_trains_and_exports_what_was_planned(project):
    def run(where: Project) -> dict[str, str]:
        answer = where.snakemake("--cores", "2", "export", *SETTINGS)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return artefacts(project.folder)

    unedited = run(project)
    shutil.rmtree(project.folder / "results")
    path = f"{project.folder / 'editing'}:{PROGRAMS}:{environment()['PATH']}"
    edited = run(Project(project.folder, {"PATH": path}))
    assert (project.folder / "recipe.yaml").read_text() == EDITED
    results = "results/digits_quant"
    assert {f"{results}/trained/{file}" for file in ("weights", "manifest.json")} <= set(edited)
    assert {f"{results}/float/{file}" for file in ("weights", "manifest.json")} <= set(edited)
    assert edited == unedited
    trained = json.loads((project.folder / results / "trained/manifest.json").read_text())
    recipe = trained["provenance"]["settings"]["recipe"]
    assert recipe["compressor"]["epoch"] == 1 and recipe["strategies"]["q"]["weight_quantize_type"] == "abs_max"
    # what is recorded is what was planned: the edited recipe is trained by the next run
    assert set(project.plan("export", *SETTINGS)) == {"train_int8", "export_models", "export"}
    (project.folder / "recipe.yaml").write_text(PLANNED)
    assert project.plan("export", *SETTINGS) == {}
