"""What Snakemake's options do to the configuration, and how a mistake looks to the user."""

import subprocess
import sys
from pathlib import Path

import pytest

from qatflow.config import precheck
from qatflow.errors import UserError

ROOT = Path(__file__).parent.parent


def snakemake(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.workflow
def test_a_wrong_configuration_ends_in_the_list_of_problems_and_nothing_else(tmp_path):
    overlay, command_line = tmp_path / "my.yaml", ("--config", "seed=-1", "device={pictures: none}")
    overlay.write_text("sead: 1\ndata:\n  max_rejected: 1e-3\n  sourc: digits\n")
    answer = snakemake("--configfile", str(overlay), *command_line)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr + answer.stdout
    _, lines = answer.stderr.split("error: the configuration has 4 problems:\n")
    assert [line.split(": ")[:2] for line in lines.splitlines()] == [
        [f"{overlay}:1", "sead"],
        [f"{overlay}:4", "data.sourc"],
        ["--config", "device.pictures"],
        ["--config", "seed"],
    ]


@pytest.mark.workflow
def test_overlays_and_single_keys_reach_the_jobs(tmp_path):
    overlay = tmp_path / "my.yaml"
    overlay.write_text("experiment: mine\n")
    answer = snakemake("--configfile", "config/test.yaml", str(overlay), "--config", "data={name: other}")
    assert answer.returncode == 0, answer.stderr
    assert "results/mine/evaluation.json" in answer.stdout
    assert "data/other/manifest.json" in answer.stdout
    assert "pretrain/MobileNetV1_digits_pretrained" in answer.stdout


@pytest.mark.parametrize(
    "arguments", [[], ["-n"], ["--config", "seed=2"], ["all", "--configfile", "good.yaml"], ["--configfiles=good.yaml"]]
)
def test_readable_files_pass_the_check_before_snakemake(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("seed: 1\n")
    precheck.main(arguments)


@pytest.mark.parametrize("option", ["--configfile", "--configfiles"])
def test_all_unreadable_files_are_named_before_snakemake(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("seed: 1\n")
    Path("twice.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(UserError) as error:
        precheck.main(["-n", option, "good.yaml", "no.yaml", "twice.yaml", "--config", "seed=2"])
    assert str(error.value) == (
        "the configuration has 2 problems:\n"
        "no.yaml: cannot be read: No such file or directory\n"
        "twice.yaml:2: seed: duplicate key; line 1 has it already"
    )
