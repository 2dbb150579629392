"""The wheel and the source distribution: what they hold, what they install, and `qatflow run` from them."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from email import message_from_string
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.workflow_helpers import ROOT, TARGETS, copy_project, planned

# setuptools changes sys.argv
BUILD_WHEEL = "import setuptools.build_meta as build, sys; to = sys.argv[1]; build.build_wheel(to)"
WORKFLOW = ("Snakefile", "requirements.lock", "workflow/", "config/", "profiles/", "demo/", "envs/")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, built without network by the setuptools of the lock."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    copy_project(source)
    both = f"{BUILD_WHEEL}; build.build_sdist(to)"
    subprocess.run([sys.executable, "-c", both, str(target)], cwd=source, check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The programs of an environment that has the wheel, installed by pip, and sees the packages of the lock."""
    folder = tmp_path_factory.mktemp("wheel environment")
    python = folder / "bin/python"
    subprocess.run([Path(sys.executable).resolve(), "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "lock.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return python.parent


def run(programs: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `qatflow` in a folder, without anything of the checkout in the environment."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "QATFLOW_FOLDER")}
    return subprocess.run(
        [programs / "qatflow", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def tracked(*places: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *places],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_has_the_library_and_the_workflow_s_files_as_they_are(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        expected = {f"qatflow_project/{name}" for name in tracked(*WORKFLOW)}
        expected |= {name.removeprefix("src/") for name in tracked("src/")}
        assert names == expected
        for name in expected:
            inner = name.removeprefix("qatflow_project/")
            own = ROOT / inner if inner != name else ROOT / "src" / name
            assert archive.read(name) == own.read_bytes(), name
    assert {"snakemake_logger_plugin_qatflow/__init__.py", "qatflow/report/templates/base.html"} <= names


def test_the_wheel_s_metadata_say_what_it_is_and_needs(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        about = message_from_string(archive.read(f"{folder}/METADATA").decode())
        points = archive.read(f"{folder}/entry_points.txt").decode()
        assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert about["License-Expression"] == "Apache-2.0" and about["Description-Content-Type"] == "text/markdown"
    assert str(about.get_payload()).strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    # the program `snakemake` of another package stays what it is
    assert [line for line in points.splitlines() if "=" in line] == ["qatflow = qatflow.__main__:run"]


def test_the_wheel_needs_what_the_lock_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {canonicalize_name(one.name): one for one in map(Requirement, project["dependencies"])}
    text, _, _ = (ROOT / "requirements.in").read_text(encoding="utf-8").partition("# development")
    wanted = [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
    assert set(needed) == {canonicalize_name(one.name) for one in wanted}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    for one in wanted:
        name = canonicalize_name(one.name)
        assert needed[name].specifier.contains(pinned[name]), name
        if one.specifier:
            assert needed[name].specifier == one.specifier, name


def test_the_source_distribution_makes_the_same_wheel(built: Path, wheel: Path, tmp_path: Path):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        if hasattr(tarfile, "data_filter"):  # not in Python 3.11.2, which Debian has
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path)
    (source,) = tmp_path.iterdir()
    again = tmp_path / "again"
    again.mkdir()
    subprocess.run([sys.executable, "-c", BUILD_WHEEL, str(again)], cwd=source, check=True, capture_output=True)
    (other,) = again.glob("*.whl")
    assert other.name == wheel.name and contents(other) == contents(wheel)
    assert (source / "tests/setup/test_wheel.py").is_file() and (source / "run.sh").is_file()


def contents(wheel: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_init_and_help_of_the_installed_program(programs: Path, tmp_path: Path):
    answer = run(programs, tmp_path, "--help")
    assert answer.returncode == 0
    assert re.findall(r"^  (\w+) ", answer.stdout, re.MULTILINE) == ["init", "inspect", "optimize", "run", "diff"]
    for command in ("init", "inspect", "optimize", "run", "diff"):
        assert run(programs, tmp_path, command, "--help").returncode == 0
    assert not (programs / "snakemake").exists()


@pytest.mark.workflow
def test_run_puts_the_workflow_into_the_folder_and_runs_it(programs: Path, tmp_path: Path):
    folder = tmp_path / "my work – ö"
    folder.mkdir()
    answer = run(programs, folder, "run", "-n", "--verbose", "--configfile", "config/test.yaml")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert planned(answer.stdout + answer.stderr) == dict.fromkeys({*TARGETS["all"], "all"}, 1)
    version = metadata.version("qatflow")
    assert f"{len(tracked(*WORKFLOW))} files of qatflow {version} put here" in answer.stdout
    # the jobs run with the wheel's library, and the second start puts nothing there
    answer = run(programs, folder, "run", "data", "--configfile", "config/test.yaml")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "put here" not in answer.stdout
    manifest = json.loads((folder / "data/digits/manifest.json").read_text())
    assert manifest["splits"]["test"]["count"] == 360
    # mistakes are found ahead of Snakemake, as in a checkout
    answer = run(programs, folder, "run", "-n", "--config", "sed=2")
    assert answer.returncode == 1 and "did you mean 'seed'" in answer.stderr
    answer = run(programs, folder, "run", "-n", "--sdm", "conda")
    assert answer.returncode == 1 and "error: --sdm: environments of their own" in answer.stderr
    # a workflow of another version is not run with this library
    record = json.loads((folder / ".qatflow.json").read_text())
    (folder / ".qatflow.json").write_text(json.dumps({**record, "version": "0.0.1"}))
    answer = run(programs, folder, "run", "-n")
    assert answer.returncode == 1 and "has the workflow of qatflow 0.0.1" in answer.stderr
    direct = subprocess.run(
        [programs / "python", "-m", "snakemake", "-n"], cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert direct.returncode == 1 and "has the workflow of qatflow 0.0.1" in direct.stdout + direct.stderr
