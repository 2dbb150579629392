"""Order of the tests, which of them may load TensorFlow, and shared fixtures."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from helpers import shared
from helpers.small_checkout import Checkout

gc.disable()  # until all tests are imported: what that makes stays, and looking through it takes seconds

# The programs that tests start compile the library once, and not at every start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell starts what runs in the background with SIGINT ignored, and programs inherit that: tests send it to some.
with contextlib.suppress(ValueError):  # not the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's affair.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ORDER = ("", "workflow", "tensorflow", "device", "e2e", "conda", "slurm", "imagenet")
"""Markers in the order in which their tests run, those without any first; a test with several runs with the last."""
ORDER_OF_SEVERAL = ("e2e", "conda", "slurm", "device", "workflow", "", "imagenet", "tensorflow")
"""The order where several processes run them: the longest files first, so that all processes end at about one time.
What loads TensorFlow into the process of the tests comes last: it stays there."""
FIRST = (
    "e2e/test_presets.py", "e2e/test_kill_points.py", "workflow/test_conda.py", "e2e/test_small.py",
    "training/test_replicas.py",
)  # fmt: skip
"""The longest files, ahead of the others of their markers. The first needs the small run, for which others would wait;
the next two do not."""


def rank(item: pytest.Item) -> int:
    marks = [mark.name for mark in item.iter_markers() if mark.name in ORDER]
    return max(map(ORDER.index, marks), default=0)


def place(path: Path, marker: str) -> tuple[int, int]:
    """Return what the files are sorted by where several processes run them."""
    name = path.relative_to(Path(__file__).parent).as_posix()
    longest = FIRST.index(name) if name in FIRST else len(FIRST)
    first = name in FIRST[:3]
    return -1 if first else ORDER_OF_SEVERAL.index(marker), longest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=rank)
    if hasattr(config, "workerinput"):  # xdist's: a process of several
        of_file: dict[Path, int] = {}
        for item in items:
            of_file[item.path] = max(rank(item), of_file.get(item.path, 0))
        items.sort(key=lambda item: place(item.path, ORDER[of_file[item.path]]))


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules and tests, which all stay: it would look through them again and again."""
    gc.freeze()
    gc.enable()


LOADED = pytest.StashKey[bool]()
"""Whether TensorFlow was there before a test."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start TensorFlow as the programs do, once and with the same threads: it cannot be configured again later."""
    item.stash[LOADED] = "tensorflow" in sys.modules
    if any(mark.name in ("tensorflow", "imagenet") for mark in item.iter_markers()):
        from qatflow.training.runtime import start

        start(seed=0, threads=2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that loads TensorFlow without the marker: `./test.sh --fast` leaves out the marked ones."""
    yield
    if "tensorflow" in sys.modules and not item.stash[LOADED] and not rank(item):
        pytest.fail("this test loads TensorFlow: give it the marker `tensorflow`")


CCACHE = Path("/usr/lib/ccache")
"""Debian's links that put ccache in front of each compiler."""


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> None:
    """Say where `shared.once` makes what many tests need. The demo's sources are compiled once, until they change."""
    shared.FOLDER = shared.session_folder(tmp_path_factory)
    if CCACHE.is_dir():
        kept = getattr(pytestconfig, "cache", None)  # there is none with -p no:cacheprovider
        folder = shared.FOLDER if kept is None else kept.mkdir("compiled")
        cache = {"CCACHE_DIR": str(folder / "ccache"), "CCACHE_BASEDIR": "/", "CCACHE_NOHASHDIR": "1"}
        os.environ |= {**cache, "CCACHE_MAXSIZE": "500M", "PATH": f"{CCACHE}:{os.environ['PATH']}"}


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


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Debian's Chromium, for the tests of pages."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium: ./test.sh installs Debian's chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()
