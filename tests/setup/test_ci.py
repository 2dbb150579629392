"""The script of continuous integration."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.places import ROOT


def test_ci_ends_with_the_tests_closing_line_and_fails_where_one_part_fails(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    closing = "==== 1 failed, 12 passed, 3 skipped in 75.02s (0:01:15) ===="
    for test_status, run_status in ((0, 0), (1, 0), (0, 1)):
        (tmp_path / "test.sh").write_text(
            f"#!/bin/sh\necho '==== FAILURES ===='\necho '{closing}'\nexit {test_status}\n"
        )
        (tmp_path / "run.sh").write_text(f"#!/bin/sh\necho ran >>ran\necho table\nexit {run_status}\n")
        for name in ("test.sh", "run.sh"):
            (tmp_path / name).chmod(0o755)
        answer = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True)
        assert answer.stdout.splitlines()[-1] == closing
        assert (answer.returncode != 0) == bool(test_status or run_status)
    assert (tmp_path / "ran").read_text() == "ran\n" * 3


@pytest.mark.parametrize(
    ("first", "second", "closing", "status"),
    [
        (
            "1900 passed, 2 skipped, 1 warning in 1200.25s (0:20:00)",
            "7 passed in 100.50s",
            "1907 passed, 2 skipped, 1 warnings in 1200.25s",
            0,
        ),
        (
            "1 failed, 9 passed, 1 error in 5.00s",
            "1 failed, 2 errors in 1.00s",
            "2 failed, 9 passed, 3 errors in 5.00s",
            1,
        ),
    ],
)
def test_the_closing_line_of_all_tests_is_the_sum_of_those_of_its_parts(tmp_path, first, second, closing, status):
    stand_ins(tmp_path, f'case "$*" in *"not slurm"*) line="{first}";; *) line="{second}";; esac', status)
    answer = subprocess.run([tmp_path / "test.sh"], capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1].strip("= ") == closing
    assert answer.returncode == status
    for arguments in (tmp_path / "calls").read_text().splitlines():
        assert "--durations 25" in arguments


def test_the_fast_tests_are_those_without_a_marker_and_more_arguments_are_pytests(tmp_path):
    stand_ins(tmp_path, 'line="7 passed in 1.00s"')
    declared = re.findall(r'^    "(\w+): ', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for more, linted in (([], True), (["tests/data", "-k", "list"], False)):
        answer = subprocess.run([tmp_path / "test.sh", "--fast", *more], capture_output=True, text=True)
        assert answer.returncode == 0 and answer.stdout.splitlines()[-1] == "==== 7 passed in 1.00s ===="
        (arguments,) = (tmp_path / "calls").read_text().splitlines()
        assert arguments.startswith(f"-m not ({' or '.join(declared)}) ")
        assert arguments.endswith(" ".join(["--durations 25", *more]))
        assert ("== mypy" in answer.stderr) == linted
        (tmp_path / "calls").unlink()


def stand_ins(folder: Path, choose: str, status: int = 0) -> None:
    """Put test.sh into a folder, with stand-ins for the linters and for pytest, which prints `line`."""
    shutil.copy(ROOT / "test.sh", folder / "test.sh")
    (folder / "setup.sh").write_text('set_up() { :; }\ninstall_for_tests() { :; }\nsay() { echo "$*"; }\n')
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("ruff", "mypy", "snakefmt"):
        (programs / name).symlink_to(shutil.which("true"))
    text = f'#!/bin/sh\necho "$*" >>calls\n{choose}\necho "==== $line ===="\nexit {status}\n'
    (programs / "pytest").write_text(text)
    (programs / "pytest").chmod(0o755)
