"""What made an artefact: inputs, settings, seed, versions and commit, kept in its manifest."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from qatflow.base.files import sha256
from qatflow.base.places import stable_name

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
    """Return the installed version of each tool that shapes results."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the checkout's commit, with `-dirty` when files differ from it; None outside git, or without it."""
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
        inputs: files the artefact was made from; each is listed with its SHA-256, and named from the working folder
            where it lies below that, or else from the project's: in any folder the same bytes are made.
        settings: the resolved settings that shaped it, as plain JSON values.
        seed: the random seed, where there is one.
    """
    return {
        "inputs": {str(stable_name(path)): sha256(path) for path in inputs},
        "settings": dict(settings),
        "seed": seed,
        "versions": versions(),
        "commit": commit(),
    }
