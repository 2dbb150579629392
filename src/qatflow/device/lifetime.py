"""How long what a run starts and leaves may live: its programs end with it, and a later run removes its folder.

The name of a run's folder says whose it is. A run is surely over when its process is gone, which only its own machine
can see: one boot of one kernel, and one namespace of process numbers there. Of runs on other machines all that is known
is when they began.
"""

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

LONGEST_DAYS = 7  # no run takes as long, by the time limits of its calls
DAY_SECONDS = 86_400
NAME = re.compile(r"(?P<machine>[0-9a-f]{12})-(?P<process>\d+)-(?P<begun>\d+)-(?P<seconds>\d+)-[0-9a-f]+")
DEAD = ("Z", "X")  # states of a process that has ended and was not waited for


def mark(token: str) -> str:
    """Return the end of a folder's name for a run of this process: its owner, then `token` (hexadecimal digits)."""
    machine = _machine()
    begun = 0 if machine is None else _status(os.getpid())[1]
    return f"{machine or secrets.token_hex(6)}-{os.getpid()}-{begun}-{int(time.time())}-{token}"


def is_over(marked: str) -> bool:
    """Tell whether the run whose folder's name ends in `marked` is surely over; no for what `mark` did not make.

    It is when its process on this machine is gone, or when it began, by its machine's clock, more than `LONGEST_DAYS`
    ago on another machine.
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


def dies_with_parent(command: Sequence[str]) -> list[str]:
    """Return the command line that starts `command` so that the kernel ends it as soon as this process is gone.

    A run that is killed cannot end what it started: an emulator, or an adb client with a program on the device, would
    go on and disturb the next run. Where util-linux has no setpriv, the command is returned as it is.
    """
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *command]


def _machine() -> str | None:
    """Return 12 hexadecimal digits for the running kernel and the namespace of this process's number.

    None where /proc is that of another namespace, or there is none: this machine is like no other then.
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
    """Return the state of a process, and when it began in ticks since the boot (proc(5), fields 3 and 22 of stat)."""
    fields = Path("/proc", str(process), "stat").read_text(errors="replace").rpartition(")")[2].split()
    return fields[0], int(fields[19])
