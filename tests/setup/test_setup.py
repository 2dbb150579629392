"""run.sh and its set-up: a second start, changes, a killed set-up, two at once, and which Python is taken."""

import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from helpers.small_checkout import PYPROJECT, Checkout, wheel
from helpers.workflow_helpers import TARGETS, processor_time

RUNNING = platform.python_version().rpartition(".")[0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout that is set up, its environment made by the real `python3 -m venv`; tests leave it so."""
    checkout = Checkout(tmp_path_factory.mktemp("installed"))
    answer = checkout.run()
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
    assert "installing 1 Python packages into .venv" in answer.stderr
    yield checkout


@pytest.mark.parametrize(
    ("arguments", "passed_on"),
    [
        ([], "--cores all all"),
        (["all"], "--cores all all"),
        (["compress"], "--cores all compress"),
        (["-n"], "--cores all -n"),
        (["--config", "seed=2", "a b"], "--cores all --config seed=2 a b"),
        (["-c2", "all"], "-c2 all"),
        (["--cores", "all"], "--cores all"),
        (["--cores=1"], "--cores=1"),
        (["-j", "8", "report"], "-j 8 report"),
        (["--jobs=8"], "--jobs=8"),
        (["--profile", "profiles/slurm"], "--profile profiles/slurm"),
        (["--workflow-profile=x"], "--workflow-profile=x"),
        (["--executor", "slurm", "--retries", "3"], "--executor slurm --retries 3"),
        (["-e", "slurm"], "-e slurm"),
    ],
)
def test_a_second_start_sets_up_nothing_and_passes_its_arguments_on(installed, arguments, passed_on):
    began = processor_time()
    answer = installed.run(*arguments)
    assert answer.stdout == f"snakemake 1.0 {passed_on}\n"
    assert (answer.returncode, answer.stderr, installed.builds()) == (0, "", 1)
    assert processor_time() - began < 2


def test_help_sets_up_nothing_and_names_the_targets_and_options_that_there_are(checkout):
    answer = checkout.run("--help")
    assert (answer.returncode, answer.stderr, (checkout.folder / ".venv").exists()) == (0, "", False)
    targets = re.search(r"^Targets.*?:\n(.*?)\n\n", answer.stdout, re.MULTILINE | re.DOTALL)[1]
    assert set(re.findall(r"^    (\w+) ", targets, re.MULTILINE)) == set(TARGETS)
    options = re.search(r"^Options.*?:\n(.*?)\n\n", answer.stdout, re.MULTILINE | re.DOTALL)[1]
    known = {option for action in get_argument_parser()._actions for option in action.option_strings}
    shown = set(re.findall(r"^    (-[\w-]+)", options, re.MULTILINE))
    assert len(shown) == 10 and shown <= known


def test_it_runs_from_any_folder(installed, tmp_path):
    answer = subprocess.run(
        [str(installed.folder / "run.sh"), "-n"],
        cwd=tmp_path,
        env=installed.environment,
        capture_output=True,
        text=True,
    )
    assert answer.stdout == "snakemake 1.0 --cores all -n\n"


def test_a_changed_project_file_installs_the_project_alone_again_and_a_changed_lock_everything(checkout):
    assert checkout.run().returncode == 0
    kept = checkout.folder / ".venv/kept"
    kept.touch()

    (checkout.folder / "pyproject.toml").write_text(PYPROJECT + "description = 'new'\n")
    answer = checkout.run()
    assert "pyproject.toml changed" in answer.stderr
    assert (answer.returncode, checkout.builds(), kept.exists()) == (0, 2, True)

    (checkout.folder / "requirements.lock").write_text(wheel(checkout.wheels, "2.0"))
    answer = checkout.run()
    assert answer.stdout == "snakemake 2.0 --cores all all\n"
    assert (answer.returncode, checkout.builds(), kept.exists()) == (0, 3, False)
    assert checkout.run().stderr == ""


def test_a_killed_set_up_is_mended_by_the_next_start(checkout):
    hold = checkout.folder / "hold"
    hold.touch()
    killed = checkout.start()
    checkout.wait_for_build(1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    left = checkout.folder / ".venv"
    assert left.exists()
    (left / "half").touch()
    shutil.rmtree(left / f"lib/python{RUNNING}/site-packages/pip")  # as if the kill had come earlier
    hold.unlink()

    answer = checkout.run()
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
    assert answer.returncode == 0
    assert not (left / "half").exists()
    assert checkout.run().stderr == ""


def test_two_set_ups_at_once_do_not_collide(checkout):
    hold = checkout.folder / "hold"
    hold.touch()
    first = checkout.start("first")
    checkout.wait_for_build(1)
    second = checkout.start("second")
    assert second.stderr is not None
    assert second.stderr.readline() == "set-up: waiting for another set-up in this folder\n"
    hold.unlink()
    assert first.communicate(timeout=60)[0] == "snakemake 1.0 --cores all first\n"
    assert second.communicate(timeout=60) == ("snakemake 1.0 --cores all second\n", "")
    assert checkout.builds() == 1


def test_a_moved_checkout_gets_a_new_environment(checkout):
    # programs in .venv/bin name the folder they were made in
    assert checkout.run().returncode == 0
    shutil.copytree(checkout.folder, checkout.folder.parent / "copy", symlinks=True)
    shutil.rmtree(checkout.folder)
    checkout.folder = checkout.folder.parent / "copy"
    answer = checkout.run()
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
    assert "installing 1 Python packages" in answer.stderr


def test_a_package_that_is_not_the_locked_one_is_refused(checkout):
    lock = checkout.folder / "requirements.lock"
    locked = lock.read_text()
    lock.write_text(locked[:-2] + ("1\n" if locked[-2] == "0" else "0\n"))
    answer = checkout.run()
    assert answer.returncode == 1
    assert "DO NOT MATCH THE HASHES" in answer.stderr
    assert answer.stderr.endswith(
        "error: the Python packages could not be installed; see above. Run this again to retry\n"
    )
    lock.write_text(wheel(checkout.wheels, "1.0"))
    assert checkout.run().returncode == 0


@pytest.mark.parametrize(
    ("programs", "taken", "said"),
    [
        ({"python3": "3.11.2", "python3.13": "3.13.0"}, "3.13", ""),
        ({"python3": "3.12.3", "python3.11": "3.11.9"}, "3.12", ""),
        ({"python3": "3.14.0", "python3.11": "3.11.9", "python3.12": "3.12.1"}, "3.12", ""),
        ({"python3": "3.11.2", "python3.13": "3.13.0 _ssl"}, "3.11", "not using {bin}/python3.13: it lacks ssl"),
        ({"python3": "3.12.3", "python3.13": "3.13.0 ensurepip"}, "3.12", ""),
        ({"python3": "3.11.2", "python3.13": None}, "3.11", ""),
    ],
)  # fmt: skip
def test_the_newest_whole_python_is_taken(
    checkout: Checkout, programs: Mapping[str, str | None], taken: str, said: str
) -> None:
    for name, about in programs.items():
        if about is None:  # as pyenv's
            checkout.program(name, f"echo 'pyenv: {name}: command not found' >&2\nexit 127")
        else:
            checkout.python_program(name, *about.split(maxsplit=1))
    answer = checkout.run()
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
    assert f"installing 1 Python packages into .venv, with Python {taken} (some minutes)\n" in answer.stderr
    assert said.format(bin=checkout.bin) in answer.stderr
    assert ("not using" in answer.stderr) == bool(said)
    assert "pyenv" not in answer.stderr


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ("3.10.12", "is Python 3.10"),
        ("3.14.0", "is Python 3.14"),
        ("3.13.0 _ctypes", "lacks ctypes"),
        (None, "does not start"),
    ],
)
def test_a_python_that_is_named_is_taken_or_refused(checkout: Checkout, about: str | None, why: str) -> None:
    checkout.python_program("python3", "3.13.0")
    if about is not None:
        checkout.python_program("other", *about.split(maxsplit=1))
    answer = checkout.run(PYTHON="other")
    assert answer.returncode == 1
    assert answer.stderr == f"error: PYTHON=other {why}: name a Python 3.11, 3.12 or 3.13, or unset PYTHON\n"
    assert not (checkout.folder / ".venv").exists()

    checkout.python_program("other", "3.12.1")
    answer = checkout.run(PYTHON="other")
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
    assert "with Python 3.12 " in answer.stderr


def test_another_python_replaces_an_environment_that_is_there(checkout: Checkout) -> None:
    checkout.program("same", checkout.python)
    assert checkout.run().returncode == 0
    assert checkout.run(PYTHON="same").stderr == ""
    link = checkout.folder / ".venv/bin/python"
    elsewhere = checkout.folder / "elsewhere"
    elsewhere.symlink_to("/bin/true")
    for name in ("python3", f"python{RUNNING}", "python"):
        link.with_name(name).unlink(missing_ok=True)
    link.symlink_to(elsewhere)  # as after an upgrade of the system, whose python3 is another one then
    answer = checkout.run()
    assert (answer.returncode, checkout.builds()) == (0, 2), answer.stderr
    assert "installing 1 Python packages" in answer.stderr

    # .venv's own Python is no way to make .venv, even if it is the first in PATH
    (checkout.folder / "requirements.lock").write_text(wheel(checkout.wheels, "2.0"))
    answer = checkout.run(PATH=f"{checkout.folder}/.venv/bin:{checkout.bin}")
    assert answer.stdout == "snakemake 2.0 --cores all all\n", answer.stderr
    assert f"not using {checkout.folder}/.venv/bin/python3: it lacks a place outside .venv" in answer.stderr


@pytest.fixture
def uv() -> Path:
    program = Path(sys.executable).with_name("uv")
    if not program.exists():
        pytest.skip("uv is not installed here: requirements.lock has it")
    return program


@pytest.mark.parametrize("has_uv", [True, False])
def test_without_a_python_uv_gets_one(checkout: Checkout, uv: Path, tmp_path: Path, has_uv: bool) -> None:
    # the real uv and a list of Pythons of its own, which has this Python under the name of the wanted one
    checkout.python_program("python3", "3.10.12")
    setup = checkout.folder / "setup.sh"
    setup.write_text(re.sub(r"^pythons=.*$", f"pythons=({RUNNING})", setup.read_text(), flags=re.MULTILINE))
    archive = python_archive(tmp_path)
    name, version = "cpython", sys.version_info
    machine = platform.machine()
    entry = {
        "name": name, "arch": {"family": machine, "variant": None}, "os": "linux", "libc": "gnu",
        "major": version.major, "minor": version.minor, "patch": version.micro, "prerelease": "", "variant": None,
        "url": archive.as_uri(), "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(), "build": "20260101",
    }  # fmt: skip
    key = f"{name}-{platform.python_version()}-linux-{machine}-gnu"
    downloads = tmp_path / "downloads.json"
    downloads.write_text(json.dumps({key: entry}))
    environment = {"UV_PYTHON_DOWNLOADS_JSON_URL": str(downloads)}
    if has_uv:
        (checkout.bin / "uv").symlink_to(uv)
    else:
        with (checkout.folder / "requirements.lock").open("a") as file:
            file.write(wheel(checkout.wheels, "0.13.9", "uv", "uv", f"os.execv('{uv}', sys.argv)"))
    answer = checkout.run(**environment)
    assert answer.stdout == "snakemake 1.0 --cores all all\n", answer.stderr
    home = Path(checkout.environment["HOME"]) / ".local/share/uv/python"
    assert (
        f"set-up: there is no Python 3.11, 3.12 or 3.13; uv is getting Python {RUNNING} into {home}\n" in answer.stderr
    )
    assert ("installing uv into .snakemake/uv" in answer.stderr) == (not has_uv)
    assert checkout.run().stderr == ""

    downloads.write_text("{}")  # it is there now
    shutil.rmtree(checkout.folder / ".venv")
    answer = checkout.run(**environment)
    assert answer.stdout == "snakemake 1.0 --cores all all\n", answer.stderr
    assert (
        f"there is no Python 3.11, 3.12 or 3.13 in PATH; using uv's: {Path(sys.executable).resolve()}\n"
        in answer.stderr
    )

    shutil.rmtree(home)
    shutil.rmtree(checkout.folder / ".venv")
    answer = checkout.run(**environment)
    assert answer.returncode == 1
    assert answer.stderr.endswith(
        f"error: uv could not get Python {RUNNING}; see above. Install a Python 3.11, 3.12 or 3.13 (Debian and Ubuntu: "
        "apt-get install python3-venv), or give its path: PYTHON=/path/to/python3.13 ./run.sh\n"
    )


def python_archive(folder: Path) -> Path:
    """Make an archive as those that uv downloads, whose program is this Python."""
    programs = folder / "python/bin"
    programs.mkdir(parents=True)
    library = folder / f"python/lib/python{RUNNING}"
    library.mkdir(parents=True)
    for file in Path(sysconfig.get_path("stdlib")).glob("_sysconfigdata_*.py"):  # which uv looks into
        shutil.copy(file, library)
    program = programs / f"python{RUNNING}"
    program.write_text(f'#!/bin/bash\nexec {Path(sys.executable).resolve()} "$@"\n')
    program.chmod(0o755)
    for name in ("python3", "python"):
        (programs / name).symlink_to(f"python{RUNNING}")
    with tarfile.open(folder / "python.tar.gz", "w:gz") as archive:
        archive.add(folder / "python", "python")
    return folder / "python.tar.gz"
