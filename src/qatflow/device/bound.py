"""Programs that end when this one does, whatever ends it."""

import shutil
from collections.abc import Sequence


def bound(command: Sequence[str]) -> list[str]:
    """Return the command line that starts `command` so that the kernel ends it as soon as this process is gone.

    A run that is killed cannot end what it started: an emulator, or an adb client with a program on the device, would
    go on and disturb the next run. Where util-linux has no setpriv the command is returned as it is.
    """
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *command]
