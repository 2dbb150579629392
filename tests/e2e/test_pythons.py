"""Every supported Python of this machine: the fast tests, the small configuration, and the same bytes.

`./test.sh --pythons` runs these, and no other command: an environment takes a minute and 2 GB, its tests and its run
take minutes. It is kept in the user's cache until requirements.lock changes.
"""

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from helpers.other_pythons import SUPPORTED, environment, interpreters, kept, variables
from helpers.places import ROOT
from helpers.workflow_helpers import SMALL, artefacts, copy_project
from qatflow.base.files import sha256

FAST = re.search(r'^markers="(.*)"$', (ROOT / "test.sh").read_text(encoding="utf-8"), re.MULTILINE)[1]
OF_ONE_RUN = re.compile(
    r"results/\w+/(evaluation|summary|ro-crate-metadata|device/\w+/(report|device_gate)|report/time\.node_data)\.json"
    r"|results/\w+/report/(report\.html|summary\.txt)|results/\w+/\w+/MODEL_CARD\.md"
)
"""What has times, memory, dates, or the version of Python in it."""


@cache
def there() -> dict[str, Path]:
    return interpreters()


def python(version: str) -> Path:
    """Return the environment of a Python; without that Python the test is skipped."""
    if version not in there():
        pytest.skip(f"there is no Python {version} in PATH, pyenv or uv")
    return environment(version, there()[version])


@pytest.mark.pythons
@pytest.mark.parametrize("version", SUPPORTED)
def test_the_fast_tests_pass(version: str) -> None:
    folder = python(version)
    answer = subprocess.run(
        [folder / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", f"not ({FAST})",
         "--numprocesses", str(os.cpu_count() or 1), "--dist", "loadfile"],
        cwd=ROOT, env=os.environ | variables(folder, ROOT / "src"), capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout[-5000:] + answer.stderr[-2000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Run the small configuration on each Python; return the SHA-256 of what it made, by version and file."""
    made = {}
    for version in there():
        folder = environment(version, there()[version])
        project = copy_project(tmp_path_factory.mktemp("small") / "project")  # of one name: manifests hold none of it
        project.environment.update(variables(folder, project.folder / "src"))
        answer = project.run(str(folder / "bin/snakemake"), "--cores", "2", "all", *SMALL)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        summary = next(project.folder.glob("results/*/summary.json")).read_text(encoding="utf-8")
        assert json.loads(summary)["provenance"]["python"].startswith(f"{version}.")
        programs = (path for path in project.folder.glob("build.lite*/**/*") if path.is_file())
        sums = {str(path.relative_to(project.folder)): sha256(path) for path in programs}
        made[version] = artefacts(project.folder) | sums
    return made


@pytest.mark.pythons
def test_the_small_configuration_makes_the_same_bytes_on_all(runs: dict[str, dict[str, str]]) -> None:
    if len(runs) < 2:
        pytest.skip("there is only one supported Python here")
    first, *others = runs.values()
    for other in others:
        assert other.keys() == first.keys()
        different = {name for name in first if first[name] != other[name]}
        assert {name for name in different if not OF_ONE_RUN.fullmatch(name)} == set()
        kinds = {Path(name).suffix or Path(name).name for name in first.keys() - different}
        assert kinds >= {".tflite", ".tfrecord", ".csv", ".json", "model", "weights"}


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_file_compiles_without_a_warning(version: str) -> None:
    # what another Python's environment is not needed for, in the normal tests
    if version not in there():
        pytest.skip(f"there is no Python {version} in PATH, pyenv or uv")
    code = "import sys, warnings; warnings.simplefilter('error')\n"
    code += "for name in sys.argv[1:]: compile(open(name).read(), name, 'exec')"
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    answer = subprocess.run(
        [there()[version], "-I", "-X", "utf8", "-c", code, *listed.stdout.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.workflow
@pytest.mark.parametrize("version", SUPPORTED)
def test_a_run_is_planned_on_each_python_with_an_environment(version: str, tmp_path: Path) -> None:
    folder = kept(version)
    if not (folder / "whole").exists():
        pytest.skip(f"no environment of Python {version} for this lock: ./test.sh --pythons makes it")
    project = copy_project(tmp_path / "project")
    project.environment.update(variables(folder, project.folder / "src"))
    answer = project.run(str(folder / "bin/snakemake"), "-n", "--verbose", *SMALL)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "make_pretrained" in answer.stdout + answer.stderr
