"""The emulator's place on an arm64 machine, where programs run directly. Here this machine stands in for one."""

import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import device_contract
from helpers.device_fixtures import host_bundle, require  # noqa: F401
from helpers.device_programs import SOURCE
from helpers.places import ROOT
from qatflow.base import host
from qatflow.base.errors import UserError
from qatflow.config.load import load_config
from qatflow.config.sections.device import DeviceSection
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.run.registry import check_device, open_device
from qatflow.workflow.resources import JobResources

SETTINGS = DeviceSettings("emulator", "test")


@pytest.fixture(autouse=True)
def arm64(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the runs; what asks for this machine's processor is told arm64."""
    monkeypatch.setattr(host, "machine", lambda: host.ARM64)
    (tmp_path / "room").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    return tmp_path / "room"


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("gcc")
    folder = tmp_path_factory.mktemp("behave")
    (folder / "behave.c").write_text(SOURCE)
    command = ["gcc", "-O1", "-o", str(folder / "behave"), str(folder / "behave.c")]
    subprocess.run(command, check=True)
    return folder / "behave"


def test_it_tells_what_this_machine_is_and_that_nothing_is_emulated(capsys: pytest.CaptureFixture[str]) -> None:
    with open_device(SETTINGS) as device:
        told = device.describe()
    assert (told.type, told.name, told.emulated, told.abis) == ("emulator", "test", False, ())
    assert (told.machine, told.system) == (os.uname().machine, f"Linux {os.uname().release}")
    assert told.cores == len(os.sched_getaffinity(0))
    assert "so programs run on it directly: the times are its own, device.cpu is not used" in capsys.readouterr().err


def test_it_keeps_the_contract_of_devices(behave: Path, tmp_path: Path, arm64: Path) -> None:
    with open_device(SETTINGS) as device:
        device_contract.check_files(device, tmp_path)
        device.push(behave, "behave")
        for status in (0, 1, 42, 255):
            answer = device.run(["./behave", "exit", str(status)], timeout=30)
            assert (answer.status, answer.stdout, answer.stderr) == (status, "a b\n", "oops\n")
        for ending, signal in {"abort": 6, "crash": 11}.items():
            assert device.run(["./behave", ending], timeout=30).status == 128 + signal
        start = time.monotonic()
        with pytest.raises(DeviceError, match=r"did not end within 1 s on this machine"):
            device.run(["./behave", "sleep", "300"], timeout=1)
        assert time.monotonic() - start < 300
        assert device.count_instructions(["./behave", "exit", "0"], 30) is None
        assert device.system_calls(["./behave", "exit", "0"], 30) is None
        assert len(list(arm64.iterdir())) == 1
    assert not list(arm64.iterdir())
    with open_device(replace(SETTINGS, keep=True)) as device:
        device.push(behave, "behave")
    assert len(list(arm64.iterdir())) == 1


def test_the_demo_agrees_with_the_host(host_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    with open_device(SETTINGS) as device:
        device_contract.check_demo(device, host_bundle, tmp_path)


def test_a_program_for_another_processor_is_refused(tmp_path: Path) -> None:
    elf = b"\x7fELF" + bytes(14) + (183 if os.uname().machine == "x86_64" else 62).to_bytes(2, "little")
    (tmp_path / "program").write_bytes(elf)
    with open_device(SETTINGS) as device, pytest.raises(UserError, match=r"device test runs \w+ programs"):
        device.push(tmp_path / "program", "program")


def test_the_check_before_a_run_asks_for_no_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("sh", "uname", "cat", "nproc", "grep", "tr"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    check_device(SETTINGS)
    monkeypatch.setattr(host, "machine", lambda: "x86_64")
    with pytest.raises(UserError, match="the emulator needs qemu-aarch64-static: run `apt-get install"):
        check_device(SETTINGS)


@pytest.mark.parametrize(("section", "threads"), [(DeviceSection(), 4), (DeviceSection(type="adb", serial="x"), 0)])
def test_a_run_here_takes_all_cores_so_that_its_times_are_not_disturbed(section: DeviceSection, threads: int) -> None:
    plan: Any = SimpleNamespace(device_of=lambda wildcards: section)
    assert JobResources(plan).device_threads(4)({}) == threads


def test_a_limit_in_instructions_is_refused_before_anything_runs(tmp_path: Path) -> None:
    text = (ROOT / "config/compress/light_nas.yaml").read_text()
    text = text.replace("target_latency: 0 ", "target_latency: 300000 ")
    (tmp_path / "nas.yaml").write_text(text.replace("quantization.yaml", f"{ROOT}/config/compress/quantization.yaml"))
    (tmp_path / "my.yaml").write_text(f"compress: {{config: {tmp_path}/nas.yaml}}\n")
    with pytest.raises(UserError, match=r"is in instructions for type 'emulator', and none are counted where this"):
        load_config([tmp_path / "my.yaml"])


def test_a_gate_of_instructions_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("device: {max_instructions: 1000}\n")
    with pytest.raises(UserError, match="max_instructions: counts instructions, and none are counted"):
        load_config([tmp_path / "my.yaml"])
