"""A disk that is really full: programs run with a file system of a few kilobytes mounted over a folder."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from helpers.places import ROOT

UNSHARE = ("unshare", "--mount", "--map-root-user")  # the mount is seen by the program alone, and goes with it


def run_on_small_disk(disk: Path, kibibytes: int, *command: str | Path) -> tuple[subprocess.CompletedProcess, set[str]]:
    """Run a program that finds `disk` empty and with so much room; return how it ended and the files it left there.

    Where nothing may be mounted (some containers), no file may grow beyond that size instead: EFBIG for ENOSPC.
    """
    left = disk.with_name(f"{disk.name}.left")
    disk.mkdir(exist_ok=True)
    if may_mount():
        script = f'mount -t tmpfs -o size={kibibytes}k tmpfs "$0" && {{ "$@"; s=$?; cp -a "$0" "{left}"; exit $s; }}'
        prefix = [*UNSHARE, "sh", "-c", script, str(disk)]
    else:
        script = f'(ulimit -f {2 * kibibytes}; exec "$@"); s=$?; cp -a "$0" "{left}"; exit $s'
        prefix = ["sh", "-c", script, str(disk)]
    ran = subprocess.run([*prefix, *map(str, command)], capture_output=True, text=True, check=False, env=_environment())
    names = {path.relative_to(left).as_posix() for path in left.rglob("*") if path.is_file()}
    shutil.rmtree(left)
    return ran, names


def python(code: str) -> tuple[str, str, str]:
    """Return the command that runs these lines as the project's programs run: a UserError is one line on stderr."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    return sys.executable, "-c", f"from qatflow.base.cli import entry\ndef main(argv):\n{body}entry(main)"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "no_proxy": "127.0.0.1"}


@cache
def may_mount() -> bool:
    """Return whether a file system can be mounted, as root or in a namespace of its own."""
    try_it = [*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(try_it, capture_output=True, check=False).returncode == 0
