"""Order of the tests: fast ones first, then by what they load or run, the longest last. Shared fixtures."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.small_checkout import Checkout

# A shell starts what runs in the background with SIGINT ignored, and programs inherit that: tests send it to some.
with contextlib.suppress(ValueError):  # not the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)

LATER = ("workflow", "tensorflow", "device", "e2e", "conda", "slurm", "imagenet")
"""Markers in the order in which their tests run; a test with several runs with the last of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        return max((LATER.index(mark.name) + 1 for mark in item.iter_markers() if mark.name in LATER), default=0)

    items.sort(key=rank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start TensorFlow as the programs do, once and with the same threads: it cannot be configured again later."""
    if any(mark.name in ("tensorflow", "imagenet") for mark in item.iter_markers()):
        from qatflow.training.runtime import start

        start(seed=0, threads=2)


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment") / "empty"
    subprocess.run([Path(sys.executable).resolve(), "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def checkout(tmp_path: Path, empty_environment: Path) -> Checkout:
    """A checkout whose `python3 -m venv` copies an environment made before, because making one takes seconds."""
    checkout = Checkout(tmp_path)
    checkout.python = f'[[ "$1 $2" != "-m venv" ]] || exec cp -a {empty_environment} "$3"\n{checkout.python}'
    checkout.program("python3", checkout.python)
    return checkout
