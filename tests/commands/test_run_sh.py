"""`./run.sh` has the commands of `qatflow`: which words start one of them, and which are targets of the workflow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.base.places import PROJECT
from qatflow.commands import run
from qatflow.commands.run_sh import TARGETS_TOO, command_line
from qatflow.commands.table import COMMANDS
from qatflow.workflow.targets import rule_names


@pytest.mark.parametrize(
    "words",
    [
        "init my.yaml --pictures p", "init --help", "diff a b", "diff -h", "run", "run inspect", "run -n",
        "inspect model.tflite", "inspect there", "inspect gone.tflite", "inspect --json there", "inspect --help",
        "optimize my.keras --output f", "optimize --output=f there", "optimize there --int4-storage",
    ],
)  # fmt: skip
def test_a_command_is_started_as_it_is(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    assert command_line(words.split()) == words.split()


@pytest.mark.parametrize(
    "words",
    [
        "", "-n", "report", "inspect", "optimize", "inspect -n", "inspect optimize", "inspect --configfile my.yaml",
        "optimize --cores 2", "optimize report", "--configfile my.yaml inspect", "data inspect",
    ],
)  # fmt: skip
def test_all_else_is_for_the_workflow(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").touch()
    assert command_line(words.split()) == ["run", *words.split()]


def test_the_commands_that_are_targets_too_are_known() -> None:
    assert set(TARGETS_TOO) == {*COMMANDS} & {*rule_names(ROOT)}


def test_help_names_all_commands() -> None:
    text = (ROOT / "run.sh").read_text(encoding="utf-8")
    assert all(f"\n    ./run.sh {name} " in text or f"\n    ./run.sh [{name}] " in text for name in COMMANDS)


@pytest.mark.parametrize("words", [["inspect"], ["optimize"], ["init"], ["diff"], ["run"]])
def test_each_command_explains_itself_alike(words: list[str]) -> None:
    """As `./run.sh` starts it, and as the installed `qatflow` does."""
    said = []
    for module in ("qatflow.commands.run_sh", "qatflow"):
        answer = subprocess.run(
            [sys.executable, "-m", module, *words, "--help"], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
        said.append(answer.stdout)
    assert said[0] == said[1] and f"usage: qatflow {words[0]}" in said[0]


def test_in_a_checkout_nothing_is_put_anywhere() -> None:
    for option in ("--deploy-only", "--update"):
        with pytest.raises(UserError, match=rf"^run: this qatflow is that of the checkout {PROJECT}, whose workflow"):
            run.main([option])
