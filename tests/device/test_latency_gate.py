"""The latency gate opens and closes on the int8 model's median time; what was made stays."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.device_reports import description, report
from helpers.section_options import option
from helpers.workflow_helpers import ROOT, copy_project
from qatflow.base.errors import UserError
from qatflow.base.gates import require_open
from qatflow.device.results.latency_gate import gate_latency
from qatflow.device.results.report import write_report


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    write_report(tmp_path / "report.json", report(int8_ms=(4.0, 2.0, 2.0)))
    return tmp_path / "report.json"


@pytest.mark.parametrize("limit", [None, 4.0, 100.0])
def test_it_opens_up_to_the_limit(report_file: Path, tmp_path: Path, limit: float | None) -> None:
    said = gate_latency(report_file, limit, tmp_path / "gate.json")
    told = json.loads((tmp_path / "gate.json").read_text())
    assert (told["max_latency_ms"], told["median_ms"], told["threads"]) == (limit, 4.0, 1)
    assert told["passed"] and told["reason"] is None
    require_open(tmp_path / "gate.json")
    assert "the model takes 4.000 ms per picture on phone with 1 thread" in said and told["said"] in said


def test_it_closes_above_the_limit_with_both_figures_and_what_to_do(report_file: Path, tmp_path: Path) -> None:
    said = gate_latency(report_file, 3.9, tmp_path / "gate.json")
    told = json.loads((tmp_path / "gate.json").read_text())
    assert (told["passed"], told["median_ms"], told["max_latency_ms"]) == (False, 4.0, 3.9)
    with pytest.raises(UserError) as raised:
        require_open(tmp_path / "gate.json")
    message = str(raised.value)
    assert message == said == told["reason"] and message.startswith("the latency gate is closed: ")
    assert "the model takes 4.000 ms per picture on phone with 1 thread" in message
    assert "more than device.max_latency_ms 3.9" in message
    assert "Models and report are kept" in message and "raise device.max_latency_ms" in message
    assert report_file.exists()


def test_emulated_times_open_no_gate(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", report(device=description(emulated=True)))
    gate_latency(tmp_path / "report.json", 1000.0, tmp_path / "gate.json")
    with pytest.raises(UserError, match=r"emulated times, which say nothing about a real device: .*device.type: adb"):
        require_open(tmp_path / "gate.json")
    assert "no device.max_latency_ms is set" in gate_latency(tmp_path / "report.json", None, tmp_path / "gate.json")


def test_the_programs_take_a_number_or_none_and_end_where_it_is_closed(report_file: Path, tmp_path: Path) -> None:
    def run(limit: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "workflow/scripts/gate_latency.py"), f"--report={report_file}"]
        command += [*option("device", max_latency_ms=limit), f"--output={tmp_path}/gate.json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def require() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "workflow/scripts/require_gate.py"), f"--gate={tmp_path}/gate.json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(1e-3).returncode == 0
    closed = require()
    assert closed.returncode == 1 and closed.stderr.startswith("error: the latency gate is closed: ")
    assert closed.stderr.count("\n") == 1
    assert run(None).returncode == require().returncode == run(5).returncode == require().returncode == 0
    assert run("five").returncode == 2


@pytest.mark.workflow
def test_a_closed_gate_ends_the_run_and_keeps_everything_and_the_configuration_alone_opens_it(tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    folder = tmp_path / "results" / "digits_quant" / "device" / "phone"
    folder.mkdir(parents=True)
    write_report(folder / "report.json", report(int8_ms=(4.0, 2.0, 2.0)))
    (folder.parent.parent / "summary.json").write_text("{}")
    (folder / "output.txt").write_text("Output dim: 10\n")
    (folder.parent.parent / "report").mkdir()
    (folder.parent.parent / "report" / "summary.txt").write_text("the table")
    before = {path: path.read_bytes() for path in folder.parent.parent.rglob("*") if path.is_file()}

    def run(limit: object) -> subprocess.CompletedProcess[str]:
        device = f"device={{type: adb, name: phone, serial: x, max_latency_ms: {limit}}}"
        return project.snakemake(
            "--cores", "1", "--verbose", "--configfile", "config/test.yaml", "--config", device, "--retries", "3",
            "--allowed-rules", "gate_latency", "require_latency",
            "--", "results/digits_quant/device/phone/.gate_passed",
        )  # fmt: skip

    closed = run("3.5")
    assert closed.returncode != 0
    printed = closed.stdout + closed.stderr
    assert "the model takes 4.000 ms per picture on phone with 1 thread" in printed
    assert printed.count("localrule require_latency:") == 1 and "Trying to restart job" not in printed
    assert {path: path.read_bytes() for path in before} == before and not (folder / ".gate_passed").exists()
    assert json.loads((folder / "latency_gate.json").read_text())["passed"] is False
    opened = run("4.5")
    assert opened.returncode == 0, opened.stdout + opened.stderr
    assert json.loads((folder / "latency_gate.json").read_text())["max_latency_ms"] == 4.5
