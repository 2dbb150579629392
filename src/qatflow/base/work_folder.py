"""The folder of a long job's state: Snakemake does not own it, so a failed or killed job can continue from it."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from qatflow.base.files import write_json


def digest(shape: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that identify everything that determines a job's result (plain JSON values)."""
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def work_folder(root: Path, shape: Mapping[str, Any], doing: str = "training") -> Iterator[Path]:
    """Yield the state folder for `shape` below `root`, locked against a second process.

    State of other settings below `root` is removed, with a message. The lock ends with the process, however that ends.
    If another process works here, perhaps left over from a killed Snakemake, this one waits for it, with a message:
    what the other one finishes does not have to be done again.

    Args:
        root: folder of the state of all settings; whoever holds the lock may remove it.
        shape: everything that determines the result, as plain JSON values.
        doing: what the process does, for the message.
    """
    lock = _locked(root, doing)
    try:
        name = digest(shape)
        for other in sorted(root.iterdir()):
            if other.is_dir() and other.name != name:
                print(f"{root}: the state in {other.name} belongs to other settings or code: starting over", flush=True)
                shutil.rmtree(other)
        folder = root / name
        folder.mkdir(exist_ok=True)
        for half_written in folder.glob(".checkpoint-*"):
            half_written.unlink()
        write_json(folder / "shape.json", dict(shape))
        yield folder
    finally:
        lock.release()


def _locked(root: Path, doing: str) -> FileLock:
    lock = FileLock(root / ".lock")
    root.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{root}: another process is {doing} here; waiting for it to end", flush=True)
        while not lock.is_locked:
            root.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the other process removed everything just now
                lock.acquire()
    return lock
