"""Programs that end with the run that started them, and folders of killed runs, which a later run removes.

The name of a run's folder says which run it belongs to. A run is certainly over when its process is gone. Only the
machine it ran on can see that: the same boot of the same kernel, and the same namespace of process numbers. For runs on
other machines, only the start time is known.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

LONGEST_DAYS = 7  # longer than any run: each of its calls has a time limit
DAY_SECONDS = 86_400
NAME = re.compile(r"(?P<machine>[0-9a-f]{12})-(?P<process>\d+)-(?P<begun>\d+)-(?P<seconds>\d+)-[0-9a-f]+")
DEAD = ("Z", "X")  # states of a process that has ended and whose parent did not wait for it


def mark(token: str) -> str:
    """Return the suffix of the name of this process's run folder: its owner, then `token` (hexadecimal digits)."""
    machine = _machine()
    begun = 0 if machine is None else _status(os.getpid())[1]
    return f"{machine or secrets.token_hex(6)}-{os.getpid()}-{begun}-{int(time.time())}-{token}"


def is_over(marked: str) -> bool:
    """Return whether the run whose folder's name ends in `marked` is certainly over.

    True if its process on this machine is gone, or if it began on another machine more than `LONGEST_DAYS` ago by that
    machine's clock. False for a text that `mark` did not make.
    """
    owner = NAME.fullmatch(marked)
    if owner is None:
        return False
    if owner["machine"] != _machine():
        return int(owner["seconds"]) < time.time() - LONGEST_DAYS * DAY_SECONDS
    process = int(owner["process"])
    try:
        os.kill(process, 0)  # a /proc that hides the processes of other users does not hide them from this
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    try:
        state, begun = _status(process)
    except OSError:
        return False
    return state in DEAD or begun != int(owner["begun"])


def sweep(folder: Path, prefix: str) -> None:
    """Remove what killed runs have left in a folder of this machine, under the name `prefix`, a dash and a mark."""
    for left in folder.glob(f"{prefix}-*"):
        if is_over(left.name.removeprefix(f"{prefix}-")):
            shutil.rmtree(left, ignore_errors=True)


def dies_with_parent(command: Sequence[str]) -> list[str]:
    """Return the command line that starts `command` so that the kernel kills it as soon as this process is gone.

    A killed run cannot stop what it started: an emulator, or an adb client with a program on the device, would go on
    running and disturb the next run. Where util-linux's setpriv is not installed, the command is returned unchanged.
    """
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *command]


def _machine() -> str | None:
    """Return 12 hexadecimal digits for the running kernel and the namespace of this process's number.

    None where /proc belongs to another namespace or is not there: then no other run counts as one of this machine.
    """
    try:
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        namespace = os.fsencode(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
    return hashlib.sha256(boot + namespace).hexdigest()[:12]


def _status(process: int) -> tuple[str, int]:
    """Return the state of a process, and its start time in ticks since boot (proc(5), fields 3 and 22 of stat)."""
    fields = Path("/proc", str(process), "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])
