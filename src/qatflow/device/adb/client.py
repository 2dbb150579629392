"""The adb client, called for one device: each call names its serial number, has a time limit and a reliable outcome.

adb's own exit status cannot be trusted: it is 0 when the device vanishes during a command, 0 for a `connect` that
failed, and 0 for every command on devices before Android 7. So the shell prints a command's status after a marker, and
the text that `connect` prints is read.
"""

import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qatflow.base.system_packages import how_to_install
from qatflow.device.adb.errors import CONNECT, KNOWN
from qatflow.device.interface import Completed, DeviceError
from qatflow.device.lifetime import dies_with_parent
from qatflow.device.shell.connection import completed, failure, new_marker
from qatflow.device.shell.trouble import Trouble, shown, trouble

HOME = "/data/local/tmp"
NETWORK = re.compile(r".+:\d+")


class AdbClient:
    """adb for one device; see `shell.connection.Connection` for the calls."""

    def __init__(self, serial: str, adb: str, server: str | None, answer: float) -> None:
        """Remember how to call adb.

        Args:
            serial: the device's serial number, or host:port.
            adb: the client's command.
            server: where the adb server listens, for `adb -L`; None for the user's own server.
            answer: seconds within which the device answers a short command.
        """
        self.name, self.by_hand, self.answer = serial, f"adb -s {serial} shell", answer
        self._adb = [adb, *(["-L", server] if server else [])]
        self._seen = False

    def reach(self) -> None:
        """Make sure that the device is there. A network device that the server does not know yet is connected.

        Raises:
            DeviceError: it cannot be used; the message says what adb sees instead.
            PassingError: it may come back by itself.
        """
        answer = self._call(["-s", self.name, "get-state"], self.answer)
        state = (answer.stderr + answer.stdout).strip()
        if answer.returncode != 0 and "' not found" in state and NETWORK.fullmatch(self.name):
            connected = self._call(["connect", self.name], self.answer).stdout.strip()
            if "connected to" not in connected:
                raise self._failure(trouble(connected, KNOWN))
        elif answer.returncode != 0:
            raise self._failure(trouble(state, KNOWN))
        elif state.splitlines()[-1:] != ["device"]:
            raise self.error(f"it is in the state '{shown(state)}': start it as usual, until `adb devices` says device")
        self._seen = True

    def home(self) -> str:
        """Return the folder where Android's shell may write and start programs."""
        return HOME

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Push a file."""
        self._command("push", str(local), remote, timeout=timeout)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Pull a file."""
        self._command("pull", remote, str(local), timeout=timeout)

    def close(self) -> None:
        """Do nothing: the adb server keeps its connections."""

    def _command(self, *arguments: str, timeout: float) -> None:
        answer = self._call(["-s", self.name, *arguments], timeout)
        if answer.returncode != 0:
            raise self._failure(trouble((answer.stderr + answer.stdout).strip(), KNOWN))

    def shell(self, script: str, timeout: float | None = None) -> Completed:
        """Run a script in the device's shell.

        Raises:
            DeviceError: it did not end within `timeout` seconds, or adb did not start it.
            PassingError: the device went away before it ended.
        """
        marker = new_marker()
        answer = self._call(
            ["-s", self.name, "shell", f'( {script}\n) </dev/null; echo "{marker}=$?"'], timeout or self.answer
        )
        ended = completed(marker, answer.stdout.replace("\r\n", "\n"), answer.stderr)
        if ended is None:
            stderr = answer.stderr.strip()
            lost = Trouble(
                "the device went away while a command ran there", "check cable and power, and run again", "yes"
            )
            raise self._failure(trouble(stderr, KNOWN) if answer.returncode and "error" in stderr else lost)
        return ended

    def error(self, message: str) -> DeviceError:
        """Return a DeviceError whose message begins with the device."""
        return DeviceError(f"device {self.name}: {message}")

    def _failure(self, cause: Trouble) -> DeviceError:
        if "' not found" in cause.line:
            others = self._listed()
            line = f"it is not connected (adb sees {', '.join(others) or 'no device'})"
            cause = replace(cause, line=line, advice="check device.serial" if others else CONNECT)
        return failure(self.name, cause, self._seen)

    def _listed(self) -> list[str]:
        lines = self._call(["devices"], self.answer).stdout.splitlines()
        return [f"{serial} ({state})" for serial, tab, state in (line.partition("\t") for line in lines) if tab]

    def _call(self, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        if shutil.which(self._adb[0]) is None:
            raise DeviceError(f"there is no {self._adb[0]}: {how_to_install('adb')}")
        try:
            answer = subprocess.run(
                dies_with_parent([*self._adb, *arguments]),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            subcommand = next(word for word in arguments if word not in ("-s", self.name))
            raise self.error(
                f"no answer to `adb {subcommand}` within {timeout:.0f} s: wake and unlock the device, "
                "or restart it, and run again (if `adb devices` gives no answer either: `adb kill-server`)"
            ) from None
        if answer.returncode < 0:
            raise self.error(
                f"adb was killed by signal {-answer.returncode} ({signal.strsignal(-answer.returncode) or 'unknown'}): "
                "run again; if adb itself crashes each time, reinstall it"
            )
        return answer
