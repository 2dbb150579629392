"""Provenance of an artefact, stored in its manifest: inputs, settings, seed, versions and commit."""

import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from qatflow.base.files import sha256
from qatflow.base.places import stable_name
from qatflow.base.processor import processor

TOOLS = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
    "snakemake",
)


def versions() -> dict[str, str]:
    """Return the installed version of each tool that affects results."""
    installed = {}
    for tool in TOOLS:
        try:
            installed[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """Return the checkout's commit, with `-dirty` if files differ from it; None outside a checkout or without git."""
    if shutil.which("git") is None:
        return None
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


def record(inputs: Iterable[Path], settings: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
    """Return the provenance block of a manifest.

    Args:
        inputs: files the artefact was made from; each is listed with its SHA-256, by its path relative to the working
            folder or the project, so that the bytes are the same in any folder.
        settings: the resolved settings that affected it, as plain JSON values.
        seed: the random seed, if there is one.
    """
    return {
        "inputs": {str(stable_name(path)): sha256(path) for path in inputs},
        "settings": dict(settings),
        "seed": seed,
        "versions": versions(),
        "commit": commit(),
    }


def record_of_floats(inputs: Iterable[Path], settings: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
    """Return the record of what arithmetic in float made, with the processor: another one may give other bytes.

    What is made from integers alone, and copies, have `record`: their bytes are those of every processor.
    """
    return {**record(inputs, settings, seed), "processor": processor()}


def record_of_run(inputs: Iterable[Path], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a run's figures, with the processor and the Python of this machine."""
    return {**record(inputs, settings), "processor": processor(), "python": platform.python_version()}
