"""The image in which rules run with `--sdm apptainer`."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from qatflow.base.errors import UserError

VARIABLE = "QATFLOW_IMAGE"
ADDRESS = re.compile(r"[a-z][a-z0-9+-]*://\S+")


def image(methods: Iterable[str]) -> str | None:
    """Return the image for all rules: a file, a folder or an address such as docker://NAME; None without apptainer.

    Args:
        methods: names of `--software-deployment-method`.

    Raises:
        UserError: apptainer is asked for, and the environment variable names no image that can be used.
    """
    asked = set(methods)
    if "apptainer" not in asked:
        return None
    if "conda" in asked:
        raise UserError("--sdm conda and --sdm apptainer exclude each other here: the image has all packages already")
    named = os.environ.get(VARIABLE, "")
    if not named:
        raise UserError(
            f"--sdm apptainer needs an image: set {VARIABLE} to a file (qatflow.sif, made from apptainer.def) or an "
            "address (docker://NAME); docs/hosts.md"
        )
    if ADDRESS.fullmatch(named):
        return named
    if not Path(named).exists():
        raise UserError(f"{VARIABLE} is {named}, which does not exist: make it from apptainer.def; docs/hosts.md")
    return str(Path(named).absolute())
