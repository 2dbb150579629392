"""Built demos for the tests of the device side, made once a session."""

import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.places import ROOT
from helpers.shared import once
from qatflow.base import host
from qatflow.base.errors import UserError
from qatflow.device.build.build import build
from qatflow.device.build.runtime import fetch_runtime
from qatflow.device.build.targets import find_target

SOURCES = ROOT / "demo" / "cxx" / "mobile_light"
LOCK = ROOT / "requirements.lock"


def require(*commands: str) -> None:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")


@pytest.fixture(scope="session")
def host_bundle() -> Path:
    """The demo for this machine."""
    require("g++", "cmake", "make")

    def make(folder: Path) -> None:
        fetch_runtime(LOCK, host.machine(), folder / "libLiteRt.so")
        target = "linux.armv8" if host.machine() == host.ARM64 else "linux.x86_64"
        build(SOURCES, find_target(target, "gcc"), folder / "libLiteRt.so", folder / "bundle")

    return once("host", make) / "bundle"


@pytest.fixture(scope="session")
def arm_runtime() -> Path:
    """libLiteRt.so for aarch64."""
    try:
        folder = once("runtime", lambda folder: fetch_runtime(LOCK, "aarch64", folder / "libLiteRt.so"))
    except UserError as error:
        pytest.skip(f"the aarch64 wheel of LiteRT cannot be had: {error}")
    return folder / "libLiteRt.so"


@pytest.fixture(scope="session")
def arm_bundle(arm_runtime: Path) -> Path:
    """The demo for android.armv8."""
    require("aarch64-linux-gnu-g++", "cmake", "make")
    name = "inference_lite_lib.android.armv8"

    def make(folder: Path) -> None:
        build(SOURCES, find_target("android.armv8", "gcc"), arm_runtime, folder / name)

    return once("arm", make) / name


def call(program: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *flags], capture_output=True, text=True, timeout=60, check=False)
