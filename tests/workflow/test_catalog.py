"""The layout that the Snakemake workflow catalog and its template ask for."""

import json
import subprocess
import tomllib

import pytest
import yaml

from helpers.workflow_helpers import ROOT, SMALL, TARGETS, Project, copy_project, environment

SETTINGS = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project"))


def test_the_repository_counts_as_a_workflow_of_standardized_usage():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow/Snakefile").is_file() and (ROOT / "config/README.md").is_file()
    assert all(path.suffix == ".smk" for path in (ROOT / "workflow/rules").iterdir())
    usage = SETTINGS["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["report"] is True
    # without these the page of the workflow has no command to run it
    deployment = usage["software-stack-deployment"]
    assert deployment["conda"] is True and all(type(value) is bool for value in deployment.values())
    flags = usage["mandatory-flags"]
    assert isinstance(flags["flags"], str) and "clone" in flags["desc"].lower()


def test_a_release_has_one_version():
    """The catalog deploys by the tag of the newest release; who cites it finds the same number."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == project["version"]
    assert f"({project['version']})" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_schema_is_where_the_catalog_s_table_of_settings_comes_from():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    assert schema == json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))
    assert {"experiment", "data", "device"} <= set(schema["properties"])
    assert all("description" in entry or "$ref" in entry for entry in schema["properties"].values())


@pytest.mark.workflow
def test_the_template_s_test_folder_plans_the_small_configuration(project):
    expected = dict.fromkeys({*TARGETS["all"], "everything"}, 1)
    arguments = ("--directory", ".test", "--snakefile", "workflow/Snakefile")
    text = project.dry_run(*arguments)
    small = project.dry_run(*SMALL, "--snakefile", "workflow/Snakefile")
    assert project.plan(*arguments) == expected
    for wanted in ("results/digits_quant/report/report.html", "data/digits/manifest.json"):
        assert wanted in text and wanted in small
    # what such a run makes is no part of the repository
    made = [".test/results/x", ".test/data/x", ".test/.snakemake/x"]
    ignored = subprocess.run(
        ["git", "check-ignore", *made, ".test/config/config.yaml"],
        cwd=ROOT, capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert ignored.stdout.split() == made
