"""run.sh and its set-up: a second start, changes, a killed set-up, two at once, and which Python is taken."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from snakemake.cli import get_argument_parser

from helpers.small_checkout import PYPROJECT, Checkout, wheel
from helpers.workflow_helpers import TARGETS, processor_time


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
    shutil.rmtree(left / "lib/python3.11/site-packages/pip")  # as if the kill had come earlier
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


def old_python(checkout: Checkout) -> None:
    checkout.program("python3", "echo 3 12")


def test_another_python_than_3_11_is_not_taken(checkout):
    old_python(checkout)
    answer = checkout.run()
    assert answer.returncode == 1
    assert "error: Python 3.11 is needed, and neither python3 nor python3.11 is one." in answer.stderr
    assert "PYTHON=/path/to/python3.11 ./run.sh" in answer.stderr

    answer = checkout.run(PYTHON="python3")
    assert answer.returncode == 1
    assert answer.stderr == "error: PYTHON=python3 is not Python 3.11: name one that is, or unset PYTHON\n"
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.parametrize("given", [False, True])
def test_python_3_11_is_found_beside_another_or_where_it_is_said_to_be(checkout, given):
    shutil.copy(checkout.bin / "python3", checkout.bin / ("other" if given else "python3.11"))
    old_python(checkout)
    answer = checkout.run(**({"PYTHON": "other"} if given else {}))
    assert answer.stdout == "snakemake 1.0 --cores all all\n"
