"""Modules of the library run as programs of their own, so that who starts them does not depend on their code."""

import os
import subprocess
import sys

from qatflow.base.places import SOURCE


def run_module(module: str, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a module of the library, with a text as its standard input; return what it prints, and its status."""
    places = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    # -P keeps the working folder off the module path: a user's file there could have the name of a module of ours
    return subprocess.run(
        [sys.executable, "-P", "-X", "utf8", "-m", module, *arguments], input=given, capture_output=True,
        encoding="utf-8", errors="replace", check=False, env=os.environ | {"PYTHONPATH": places},
    )  # fmt: skip
