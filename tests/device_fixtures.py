"""Built demos for the tests of the device side, made once a session."""

import shutil
import subprocess
from pathlib import Path

import pytest

from qatflow.device.build import build
from qatflow.device.runtime import fetch_runtime
from qatflow.device.targets import find_target
from qatflow.errors import UserError

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "demo" / "cxx" / "mobile_light"
LOCK = ROOT / "requirements.lock"
needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64-static") is None, reason="no qemu-aarch64-static")


def require(*commands: str) -> None:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")


@pytest.fixture(scope="session")
def host_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo for this machine."""
    require("g++", "cmake", "make")
    folder = tmp_path_factory.mktemp("host")
    fetch_runtime(LOCK, "x86_64", folder / "libLiteRt.so")
    build(SOURCES, find_target("linux.x86_64", "gcc"), folder / "libLiteRt.so", folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="session")
def arm_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libLiteRt.so for aarch64."""
    path = tmp_path_factory.mktemp("runtime") / "libLiteRt.so"
    try:
        fetch_runtime(LOCK, "aarch64", path)
    except UserError as error:
        pytest.skip(f"the aarch64 wheel of LiteRT cannot be had: {error}")
    return path


@pytest.fixture(scope="session")
def arm_bundle(arm_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo for android.armv8."""
    require("aarch64-linux-gnu-g++", "cmake", "make")
    bundle = tmp_path_factory.mktemp("arm") / "inference_lite_lib.android.armv8"
    build(SOURCES, find_target("android.armv8", "gcc"), arm_runtime, bundle)
    return bundle


def call(program: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *flags], capture_output=True, text=True, timeout=60, check=False)
