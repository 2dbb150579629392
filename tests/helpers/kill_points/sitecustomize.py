"""Kills at a chosen point. Put on a program's path, Python imports it before the program; see test_kill_points.py.

KILL_POINT is JSON: `program`: part of the command line of the process that watches; `before` or `after`: regular
expression of the path that a file or folder is renamed to; `victims`: of `trainer` and `snakemake`, or `group`: all
processes of the terminal, as Ctrl-C has it; `signal`; `mark`:
file to write when it happens; `delay`: seconds after the renaming, with `after`; `outlives`: seconds that a trainer
who is no victim takes over the step in which Snakemake was killed.
"""

import json
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

POINT = json.loads(os.environ.get("KILL_POINT", "null"))


def snakemake() -> int:
    """Return the process id of the topmost Snakemake above this process."""
    found, process = None, os.getpid()
    while process > 1:
        arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[1:3]
        if b"snakemake" in arguments[0] or arguments == [b"-m", b"snakemake"]:
            found = process
        process = int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
    assert found is not None
    return found


def strike() -> None:
    """Kill the victims."""
    parent = snakemake()
    Path(POINT["mark"]).write_text(str(os.getpid()))
    if "group" in POINT["victims"]:
        os.killpg(0, POINT["signal"])
        return
    if "snakemake" in POINT["victims"]:
        os.kill(parent, signal.SIGKILL)
    if "trainer" in POINT["victims"]:
        os.kill(os.getpid(), POINT["signal"])
    else:
        time.sleep(POINT["outlives"])


def later() -> None:
    """Kill them from a thread of its own, in the middle of whatever is being done by then."""
    time.sleep(POINT["delay"])
    strike()


def watch(event: str, arguments: tuple) -> None:
    """Look at each renaming."""
    if event != "os.rename" or Path(POINT["mark"]).exists():
        return
    target = os.fspath(arguments[1])
    if POINT.get("before") and re.search(POINT["before"], target):
        strike()
    elif POINT.get("after") and re.search(POINT["after"], target):
        threading.Thread(target=later, daemon=True).start()


if POINT and any(POINT["program"] in part for part in sys.orig_argv):
    sys.addaudithook(watch)
