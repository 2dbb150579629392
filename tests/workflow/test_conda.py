"""Each conda environment is built from its file, and its rules run there from a Snakemake that has nothing else.

Snakemake stands in an environment of its own, since what it has beside it would hide what a rule's environment lacks.
"""

import importlib.util
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from helpers import conda_standin
from helpers.workflow_helpers import ROOT, SMALL, Project, copy_project

pytestmark = [
    pytest.mark.conda,
    pytest.mark.skipif(importlib.util.find_spec("rattler") is None, reason="py-rattler is not installed"),
]

SNAKEFILE_NEEDS = ("snakemake", "pydantic", "pyyaml", "filelock")
OVERLAY = "pretrained: {name: conda, train: {epochs: 1}}\n"
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
RAN = {"light": "prepare_data", "tensorflow": "make_pretrained"}
"""A rule of each environment, which runs."""


def versions(path: Path) -> dict[str, str]:
    """Return what an environment has beside its pip section."""
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return dict(each.split("=") for each in dependencies if isinstance(each, str))


def bare_snakemake(folder: Path) -> Path:
    """Make an environment with Snakemake and what the Snakefile imports; return its programs."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^([a-z][\w.-]*==\S+)", lock, re.MULTILINE)
    (folder / "pins").write_text("\n".join(pins))
    subprocess.run([sys.executable, "-m", "venv", folder / "bare"], check=True)
    subprocess.run(
        [folder / "bare/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", folder / "pins",
         *SNAKEFILE_NEEDS],
        check=True,
    )  # fmt: skip
    return folder / "bare/bin"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, str]]:
    folder = tmp_path_factory.mktemp("conda")
    project = copy_project(folder / "project")
    (project.folder / "conda.yaml").write_text(OVERLAY)
    environments = sorted((project.folder / "envs").glob("*.yaml"))
    for path in environments:  # conda's stand-in has no other Python than this one
        path.write_text(re.sub(r"python=\S+", f"python={platform.python_version()}", path.read_text()))
    snakemake = bare_snakemake(folder)
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    conda = conda_standin.install_standin(folder / "conda", python, versions(environments[0]))
    # bytecode of the few modules that a rule imports is made then: of all packages it takes half a minute
    environment = {
        "PATH": f"{conda}:{snakemake}:/usr/bin:/bin",
        "PYTHONPATH": str(project.folder / "src"),
        "PIP_NO_COMPILE": "1",
    }
    alone = Project(project.folder, environment)
    answer = alone.run(
        str(snakemake / "python"), "-m", "snakemake", "pretrained", "--cores", "2", "--verbose", "--sdm", "conda",
        *SMALL, "conda.yaml",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    yield project, answer.stdout + answer.stderr
    # 2.5 GB in 60,000 files: half a minute on a busy disk, for which no test waits
    subprocess.Popen(["rm", "-rf", project.folder / ".snakemake/conda"], start_new_session=True)


def built(project: Project, environment: Path) -> Path:
    """Return the folder of the environment that Snakemake had built of a file."""
    (found,) = (
        path.with_suffix("")
        for path in (project.folder / ".snakemake/conda").glob("*.yaml")
        if path.read_text(encoding="utf-8") == environment.read_text(encoding="utf-8")
    )
    return found


def test_all_environments_have_the_same_python():
    assert len({tuple(versions(path).items()) for path in ENVIRONMENTS}) == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_is_built_and_its_rule_runs_in_it(ran, environment):
    project, printed = ran
    assert f"rule {RAN[environment.stem]}:" in printed
    assert ".snakemake/conda/" in printed
    folder = built(project, project.folder / "envs" / environment.name)
    listed = subprocess.run(
        [folder / "bin/python", "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    ).stdout
    have = {line.lower().replace("_", "-") for line in listed.splitlines()}
    (wanted,) = (
        each["pip"] for each in yaml.safe_load(environment.read_text())["dependencies"] if isinstance(each, dict)
    )
    assert set(wanted) <= have
    assert f"pip=={versions(environment)['pip']}" in have


def test_the_outputs_are_there(ran):
    project, _ = ran
    assert (project.folder / "data/digits/manifest.json").is_file()
    assert (project.folder / "pretrain/conda_pretrained/weights").is_file()


def test_snakemake_s_own_environment_has_no_package_of_the_rules(ran):
    bare = ran[0].folder.parent / "bare/bin/python"
    for name in ("numpy", "tensorflow", "safetensors", "PIL"):
        assert subprocess.run([bare, "-c", f"import {name}"], capture_output=True).returncode != 0
