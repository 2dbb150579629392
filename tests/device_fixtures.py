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


def require(*commands: str) -> None:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")


_made: dict[str, Path] = {}  # a fixture imported by several modules runs once for each of them


@pytest.fixture(scope="session")
def host_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo for this machine."""
    require("g++", "cmake", "make")
    if "host" not in _made:
        folder = tmp_path_factory.mktemp("host")
        fetch_runtime(LOCK, "x86_64", folder / "libLiteRt.so")
        build(SOURCES, find_target("linux.x86_64", "gcc"), folder / "libLiteRt.so", folder / "bundle")
        _made["host"] = folder / "bundle"
    return _made["host"]


@pytest.fixture(scope="session")
def arm_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libLiteRt.so for aarch64."""
    if "runtime" not in _made:
        path = tmp_path_factory.mktemp("runtime") / "libLiteRt.so"
        try:
            fetch_runtime(LOCK, "aarch64", path)
        except UserError as error:
            pytest.skip(f"the aarch64 wheel of LiteRT cannot be had: {error}")
        _made["runtime"] = path
    return _made["runtime"]


@pytest.fixture(scope="session")
def arm_bundle(arm_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo for android.armv8."""
    require("aarch64-linux-gnu-g++", "cmake", "make")
    if "arm" not in _made:
        bundle = tmp_path_factory.mktemp("arm") / "inference_lite_lib.android.armv8"
        build(SOURCES, find_target("android.armv8", "gcc"), arm_runtime, bundle)
        _made["arm"] = bundle
    return _made["arm"]


def call(program: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *flags], capture_output=True, text=True, timeout=60, check=False)
