"""Built demos for the tests of the device side, made once a session."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.base.files import whole_folder
from qatflow.device.build.build import build
from qatflow.device.build.runtime import fetch_runtime
from qatflow.device.build.targets import find_target

SOURCES = ROOT / "demo" / "cxx" / "mobile_light"
LOCK = ROOT / "requirements.lock"


def require(*commands: str) -> None:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that is made once: for all modules that import its fixture, and all processes that run tests."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / f"once-{name}"
    with FileLock(shared / f"once-{name}.lock"):
        if not folder.is_dir():
            with whole_folder(folder) as temporary:
                make(temporary)
    return folder


@pytest.fixture(scope="session")
def host_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo for this machine."""
    require("g++", "cmake", "make")

    def make(folder: Path) -> None:
        fetch_runtime(LOCK, "x86_64", folder / "libLiteRt.so")
        build(SOURCES, find_target("linux.x86_64", "gcc"), folder / "libLiteRt.so", folder / "bundle")

    return _once(tmp_path_factory, "host", make) / "bundle"


@pytest.fixture(scope="session")
def arm_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libLiteRt.so for aarch64."""
    try:
        folder = _once(
            tmp_path_factory, "runtime", lambda folder: fetch_runtime(LOCK, "aarch64", folder / "libLiteRt.so")
        )
    except UserError as error:
        pytest.skip(f"the aarch64 wheel of LiteRT cannot be had: {error}")
    return folder / "libLiteRt.so"


@pytest.fixture(scope="session")
def arm_bundle(arm_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo for android.armv8."""
    require("aarch64-linux-gnu-g++", "cmake", "make")
    name = "inference_lite_lib.android.armv8"

    def make(folder: Path) -> None:
        build(SOURCES, find_target("android.armv8", "gcc"), arm_runtime, folder / name)

    return _once(tmp_path_factory, "arm", make) / name


def call(program: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *flags], capture_output=True, text=True, timeout=60, check=False)
