"""The Pythons of this machine that the project supports, and an environment of each, kept for the next time."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers.places import ROOT

SUPPORTED = ("3.11", "3.12", "3.13")
LOCK = ROOT / "requirements.lock"
ABOUT = "import sys; assert sys.prefix == sys.base_prefix; print('%d.%d' % sys.version_info[:2])"


def interpreters() -> dict[str, Path]:
    """Return the supported Pythons of PATH, pyenv and uv, by version."""
    found: dict[str, Path] = {}
    for path in _candidates():
        answer = subprocess.run([path, "-I", "-c", ABOUT], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip() in SUPPORTED:
            found.setdefault(answer.stdout.strip(), path)
    return dict(sorted(found.items()))


def _candidates() -> Iterator[Path]:
    home = Path.home()
    yield Path(getattr(sys, "_base_executable", sys.executable))
    for version in SUPPORTED:
        if (program := shutil.which(f"python{version}")) is not None:
            yield Path(program)
        for folder in (
            Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions",
            home / ".local/share/uv/python",
        ):
            yield from sorted(folder.glob(f"*{version}.*/bin/python{version}"))


def kept(version: str) -> Path:
    """Return the folder of a Python's environment for today's lock, there or not, in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "qatflow/pythons" / f"{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"


def environment(version: str, python: Path) -> Path:
    """Return the environment of a Python with the packages of requirements.lock; make it if it is not there."""
    folder = kept(version)
    if not (folder / "whole").exists():
        for old in folder.parent.glob(f"{version}-*"):  # of an older lock, or half made: 2 GB each
            shutil.rmtree(old)
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([python, "-m", "venv", folder], check=True)
        install = ("pip", "install", "--quiet", "--require-hashes", "--requirement", LOCK)
        uv = Path(sys.executable).with_name("uv")
        if uv.exists():  # it links the files that several environments have in common
            subprocess.run([uv, *install, "--python", folder / "bin/python"], check=True)
        else:
            subprocess.run([folder / "bin/python", "-m", *install], check=True)
        (folder / "whole").touch()
    # the project itself is not installed, but its programs are there: Snakemake's own is replaced, as in .venv
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for program, start in project["scripts"].items():
        module, name = start.split(":")
        text = f"#!{folder}/bin/python\nfrom {module} import {name}\n\n{name}()\n"
        (folder / "bin" / program).write_text(text)
        (folder / "bin" / program).chmod(0o755)
    return folder


def variables(folder: Path, source: Path) -> Mapping[str, str]:
    """Return what makes a program use an environment, with the project's library from a folder."""
    path = re.sub(rf"^{re.escape(str(Path(sys.executable).parent))}{os.pathsep}", "", os.environ["PATH"])
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{path}", "PYTHONPATH": str(source)}
