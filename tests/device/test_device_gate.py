"""The device gate opens and closes on what the int8 model takes; what was made stays."""

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
from qatflow.device.results.device_gate import gate_device
from qatflow.device.results.report import write_report


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    write_report(tmp_path / "report.json", report(int8_ms=(4.0, 2.0, 2.0)))
    return tmp_path / "report.json"


@pytest.mark.parametrize("limit", [None, 4.0, 100.0])
def test_it_opens_up_to_the_limit(report_file: Path, tmp_path: Path, limit: float | None) -> None:
    said = gate_device(report_file, {"max_latency_ms": limit}, tmp_path / "gate.json")
    told = json.loads((tmp_path / "gate.json").read_text())
    (latency,) = told["limits"]
    assert (latency["key"], latency["limit"], latency["measured"]) == ("max_latency_ms", limit, 4.0)
    assert latency["state"] == ("not set" if limit is None else "passed")
    assert told["passed"] and told["reason"] is None
    require_open(tmp_path / "gate.json")
    assert "the model takes 4.000 ms per picture on phone with 1 thread" in said and latency["said"] in said


def test_it_closes_above_the_limit_with_both_figures_and_what_to_do(report_file: Path, tmp_path: Path) -> None:
    said = gate_device(report_file, {"max_latency_ms": 3.9}, tmp_path / "gate.json")
    told = json.loads((tmp_path / "gate.json").read_text())
    assert (told["passed"], told["limits"][0]["measured"], told["limits"][0]["limit"]) == (False, 4.0, 3.9)
    with pytest.raises(UserError) as raised:
        require_open(tmp_path / "gate.json")
    message = str(raised.value)
    assert message == said == told["reason"] and message.startswith("the device gate is closed: ")
    assert "the model takes 4.000 ms per picture on phone with 1 thread" in message
    assert "more than device.max_latency_ms 3.9" in message
    assert "Models and report are kept" in message and "raise device.max_latency_ms" in message
    assert report_file.exists()


def test_emulated_times_open_no_gate(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", report(device=description(emulated=True)))
    for key in ("max_latency_ms", "max_memory_bytes"):
        gate_device(tmp_path / "report.json", {key: 10**9}, tmp_path / "gate.json")
        with pytest.raises(UserError, match=r"an emulator's .*, which says nothing about a real .*device.type: adb"):
            require_open(tmp_path / "gate.json")
    assert "no device.max_latency_ms is set" in gate_device(tmp_path / "report.json", {}, tmp_path / "gate.json")


@pytest.mark.parametrize(
    ("emulated", "key", "most", "said"),
    [
        (False, "max_memory_bytes", 4_000_000, "the program takes up to 4,000,000 bytes of memory on phone"),
        (True, "max_instructions", 497_650, "the model executes 497,650 instructions per picture on phone"),
    ],
)
def test_memory_and_instructions_have_limits(tmp_path: Path, emulated: bool, key: str, most: int, said: str) -> None:
    found = report(device=description(emulated=emulated), instructions=(1_477_256, 497_650))
    write_report(tmp_path / "report.json", found)
    assert gate_device(tmp_path / "report.json", {key: most}, tmp_path / "gate.json").endswith(
        f"within device.{key} {most:,}"
    )
    require_open(tmp_path / "gate.json")
    gate_device(tmp_path / "report.json", {key: most - 1}, tmp_path / "gate.json")
    with pytest.raises(UserError, match=f"gate is closed: {said}.*, more than device.{key} {most - 1:,}.*or raise"):
        require_open(tmp_path / "gate.json")


def test_a_limit_of_what_the_device_does_not_report_is_closed(report_file: Path, tmp_path: Path) -> None:
    limits = {"max_instructions": 5, "max_latency_ms": 1.0}
    gate_device(report_file, limits, tmp_path / "gate.json")
    with pytest.raises(UserError) as raised:
        require_open(tmp_path / "gate.json")
    assert "; and phone does not report instructions, which device.max_instructions limits." in str(raised.value)
    assert "raise device.max_latency_ms; set device.max_instructions to null for this device" in str(raised.value)


def test_the_programs_take_a_number_or_none_and_end_where_it_is_closed(report_file: Path, tmp_path: Path) -> None:
    def run(limit: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "workflow/scripts/gate_device.py"), f"--report={report_file}"]
        command += [*option("device", max_latency_ms=limit), f"--output={tmp_path}/gate.json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def require() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "workflow/scripts/require_gate.py"), f"--gate={tmp_path}/gate.json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(1e-3).returncode == 0
    closed = require()
    assert closed.returncode == 1 and closed.stderr.startswith("error: the device gate is closed: ")
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
            "--allowed-rules", "gate_device", "require_device",
            "--", "results/digits_quant/device/phone/.gate_passed",
        )  # fmt: skip

    closed = run("3.5")
    assert closed.returncode != 0
    printed = closed.stdout + closed.stderr
    assert "the model takes 4.000 ms per picture on phone with 1 thread" in printed
    assert printed.count("localrule require_device:") == 1 and "Trying to restart job" not in printed
    assert {path: path.read_bytes() for path in before} == before and not (folder / ".gate_passed").exists()
    assert json.loads((folder / "device_gate.json").read_text())["passed"] is False
    opened = run("4.5")
    assert opened.returncode == 0, opened.stdout + opened.stderr
    assert json.loads((folder / "device_gate.json").read_text())["limits"][0]["limit"] == 4.5
