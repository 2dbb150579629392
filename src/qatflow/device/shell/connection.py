"""What carries commands and files to a device's shell."""

import re
import secrets
from pathlib import Path
from typing import Protocol

from qatflow.device.interface import Completed, DeviceError
from qatflow.device.shell.retry import PassingError
from qatflow.device.shell.trouble import Trouble


class Connection(Protocol):
    """A way to one device: adb, or ssh.

    Each call has a time limit in seconds; None is that of a short command. Besides what is said below, each raises
    DeviceError when the device cannot be used, and `retry.PassingError` when it may come back by itself.

    Attributes:
        name: what messages call the device.
        by_hand: how a user runs a command on the device, such as `adb -s X shell`.
        answer: seconds within which the device answers a short command.
    """

    name: str
    by_hand: str
    answer: float

    def reach(self) -> None:
        """Make sure that the device is there, and connect to it where that is needed."""

    def home(self) -> str:
        """Return where runs have their folders on the device, an absolute path."""

    def shell(self, script: str, timeout: float | None = None) -> Completed:
        """Run a script in the device's shell, and return what it printed and its status.

        Args:
            script: for a POSIX shell. Its standard input is empty. What it starts ends with the call.
            timeout: seconds that it may take.
        """

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Copy a file to an absolute path of the device. A failure may leave a part of it there."""

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Copy a file from an absolute path of the device. A failure may leave a part of it here."""

    def error(self, message: str) -> DeviceError:
        """Return a DeviceError whose message begins with the device."""

    def close(self) -> None:
        """End the connection. Nothing is called afterwards."""


def new_marker() -> str:
    """Return a text that nothing prints by chance; a script prints its status behind it: `MARKER=0`."""
    return f"qatflow-{secrets.token_hex(8)}"


def completed(marker: str, stdout: str, stderr: str) -> Completed | None:
    """Return what a script printed before its marker, and the status behind it; None if it did not come to its end."""
    ending = re.search(rf"{marker}=(\d{{1,3}})\n?\Z", stdout)
    return None if ending is None else Completed(int(ending[1]), stdout[: ending.start()], stderr)


def failure(name: str, cause: Trouble, seen: bool) -> DeviceError:
    """Return the error of a failure: a PassingError where it may pass by itself.

    Args:
        name: of the device.
        cause: the failure.
        seen: whether the device has answered before.
    """
    passing = cause.passing == "yes" or (cause.passing == "once seen" and seen)
    return (PassingError if passing else DeviceError)(f"device {name}: {cause.text}")
