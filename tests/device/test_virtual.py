"""An Android virtual device, which adb finds by itself and names emulator-5554: see emulator_world.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.device_fixtures import ROOT, host_bundle, require  # noqa: F401

pytestmark = pytest.mark.device
WORLD = ROOT / "tests" / "helpers" / "emulator_world.py"
USE = """
import sys
from pathlib import Path
from helpers import device_contract
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.registry import open_device

bundle, folder = map(Path, sys.argv[1:])
with open_device(DeviceSettings("adb", "avd", serial="emulator-5554")) as device:
    print("machine:", device.describe().machine)
    device_contract.check_files(device, folder)
    device_contract.check_demo(device, bundle, folder)
"""
MISS = """
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.run.registry import open_device
import subprocess

subprocess.run(["adb", "wait-for-device"], check=True)
try:
    open_device(DeviceSettings("adb", "avd", serial="emulator-5556")).__enter__()
except DeviceError as error:
    print(error)
"""


def in_a_network_of_its_own(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    require("adb", "unshare", "ip")
    apart = ["unshare", "--user", "--map-root-user", "--net"]
    if (tried := subprocess.run([*apart, "true"], capture_output=True, text=True, check=False)).returncode != 0:
        pytest.skip(f"no namespaces: {tried.stderr.strip()}")
    folder.mkdir()
    command = [*apart, sys.executable, str(WORLD), str(folder), "x86_64", sys.executable, "-c", code, *arguments]
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=environment)


def test_the_demo_runs_on_it_by_its_serial_alone(host_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    answer = in_a_network_of_its_own(tmp_path / "world", USE, str(host_bundle), str(tmp_path))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["machine: x86_64", "left: []"]


def test_another_number_is_told_with_the_one_that_is_there(tmp_path: Path) -> None:
    answer = in_a_network_of_its_own(tmp_path / "world", MISS)
    assert answer.stdout.splitlines()[0] == (
        "device emulator-5556: it is not connected (adb sees emulator-5554 (device)): check device.serial"
    )
