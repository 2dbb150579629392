"""The linters see every Python file of the project."""

import subprocess
import sys
import tomllib
from pathlib import Path

from mypy.find_sources import create_source_list
from mypy.options import Options

from helpers.places import ROOT


def listed(*command: str | Path) -> set[str]:
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(answer.stdout.splitlines())


def tracked() -> set[str]:
    return listed("git", "ls-files", "*.py")


def test_ruff_sees_every_tracked_python_file():
    seen = listed(Path(sys.executable).with_name("ruff"), "check", "--show-files")
    assert {str(ROOT / file) for file in tracked()} <= seen


def test_mypy_sees_every_tracked_python_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    files = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
    options = Options()
    options.explicit_package_bases = options.namespace_packages = True
    seen = {source.path for source in create_source_list(files, options)}
    assert {file for file in tracked() if f"{file}i" not in seen} <= seen  # of x.py and x.pyi mypy reads the latter
