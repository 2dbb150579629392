"""What many tests need is made once a session, for all modules and all processes that run tests."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from qatflow.base.files import whole_folder

FOLDER: Path | None = None
"""The session's folder that all its processes share; conftest.py sets it before the first test."""


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder that is above those of the single workers."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills: the first who asks for the name has it made, the others wait for it.

    Nobody may write into it: take a copy, or hard links where no test changes a file in place.
    """
    assert FOLDER is not None, "tests/conftest.py sets it"
    folder = FOLDER / f"once-{name}"
    with FileLock(FOLDER / f"once-{name}.lock"):
        if not folder.is_dir():
            with whole_folder(folder) as temporary:
                make(temporary)
    return folder
