"""A phone or board on the desk, through the adb client.

adb's own exit status is not to be trusted: it is 0 when the device vanishes during a command, and for every command on
devices before Android 7. So the status of each command is printed behind a marker, and files are compared by SHA-256.
"""

import contextlib
import re
import secrets
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from qatflow.device.adb_errors import explain
from qatflow.device.interface import Completed, DeviceDescription, DeviceError, DeviceSettings
from qatflow.files import sha256, whole_file

HOME = "/data/local/tmp"
ANSWER_SECONDS = 30.0
SLOWEST_BYTES_PER_SECOND = 1e6
SUM_DIFFERS = 99
DESCRIBE = """\
echo machine=$(uname -m)
echo kernel=$(uname -sr)
echo abis=$(getprop ro.product.cpu.abilist 2>/dev/null)
echo abi=$(getprop ro.product.cpu.abi 2>/dev/null)
echo maker=$(getprop ro.product.manufacturer 2>/dev/null)
echo model=$(getprop ro.product.model 2>/dev/null)
echo android=$(getprop ro.build.version.release 2>/dev/null)
echo soc=$(getprop ro.soc.model 2>/dev/null)
echo cores=$(nproc 2>/dev/null)
echo governor=$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)
echo features=$(grep -m1 '^Features' /proc/cpuinfo 2>/dev/null)
"""


class AdbDevice:
    """A device behind adb; see `interface.Device` for the calls."""

    def __init__(
        self, settings: DeviceSettings, *, adb: str = "adb", server: str | None = None, answer: float = ANSWER_SECONDS
    ) -> None:
        """Make the run's folder on the device.

        Args:
            settings: the device, by its serial number.
            adb: the client's command.
            server: where the adb server listens, for `adb -L`; None for the user's own server.
            answer: seconds within which the device answers a short command.

        Raises:
            DeviceError: adb is missing, or the device cannot be reached.
        """
        if not settings.serial:
            raise DeviceError(
                "device.serial is missing: connect the phone, run `adb devices`, and give the serial number it prints"
            )
        self._settings = settings
        self._client = [adb, *(["-L", server] if server else []), "-s", settings.serial]
        self._answer = answer
        self._adb("get-state")
        self._folder = f"{HOME}/qatflow-{secrets.token_hex(6)}"
        self._check(self._shell(f"mkdir {self._folder}", self._answer), f"making {self._folder}")

    def describe(self) -> DeviceDescription:
        """Ask the device for its system properties."""
        answer = self._check(self._shell(DESCRIBE, self._answer), "asking what the device is")
        said = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
        abis = (said["abis"] or said["abi"]).split(",")
        runs_aarch64 = "arm64-v8a" in abis or (abis == [""] and said["machine"] == "aarch64")
        return DeviceDescription(
            type="adb",
            name=self._settings.name,
            model=f"{said['maker']} {said['model']}".strip() or "unknown",
            system=f"Android {said['android']}" if said["android"] else said["kernel"],
            machine="aarch64" if runs_aarch64 else (",".join(filter(None, abis)) or said["machine"]),
            cpu=said["soc"] or None,
            features=tuple(said["features"].partition(":")[2].split()),
            cores=int(said["cores"]) if said["cores"].isdecimal() else 1,
            governor=said["governor"] or None,
            emulated=False,
        )

    def push(self, local: Path, name: str) -> None:
        """Push to a temporary name, compare the sums, and move into place."""
        place, temporary = f"{self._folder}/{name}", f"{self._folder}/.{secrets.token_hex(6)}.part"
        size = local.stat().st_size
        try:
            self._adb("push", str(local), temporary, timeout=self._answer + size / SLOWEST_BYTES_PER_SECOND)
        except DeviceError:
            with contextlib.suppress(DeviceError):
                self._shell(f"rm -f {temporary}", self._answer)
            raise
        mode = "755" if local.stat().st_mode & 0o100 else "644"
        script = (
            f"sum=$(sha256sum {temporary}) || exit $?; "
            f'[ "${{sum%% *}}" = {sha256(local)} ] || {{ rm -f {temporary}; exit {SUM_DIFFERS}; }}; '
            f"mkdir -p {shlex.quote(str(Path(place).parent))} && chmod {mode} {temporary} && "
            f"mv -f {temporary} {shlex.quote(place)}"
        )
        answer = self._shell(script, self._answer + size / SLOWEST_BYTES_PER_SECOND)
        if answer.status == SUM_DIFFERS:
            raise self._error(f"{local.name} arrived damaged (its SHA-256 differs): check the cable and run again")
        self._check(answer, f"putting {name} in place")

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Run a program in the run's folder."""
        return self._shell(f"cd {self._folder} && {shlex.join(command)}", timeout)

    def pull(self, name: str, local: Path) -> None:
        """Pull beside the file's final place, compare the sums, and move it there."""
        place = f"{self._folder}/{name}"
        asked = self._check(
            self._shell(f"sha256sum {shlex.quote(place)} && wc -c < {shlex.quote(place)}", self._answer),
            f"reading {name} (did the program write it?)",
        ).stdout.split()
        expected, size = asked[0], int(asked[-1])
        with whole_file(local) as temporary:
            self._adb("pull", place, str(temporary), timeout=self._answer + size / SLOWEST_BYTES_PER_SECOND)
            if sha256(temporary) != expected:
                raise self._error(f"{name} arrived damaged (its SHA-256 differs): check the cable and run again")

    def cleanup(self) -> None:
        """Remove the run's folder."""
        self._check(self._shell(f"rm -rf {self._folder}", self._answer), f"removing {self._folder}")

    def _adb(self, *arguments: str, timeout: float | None = None) -> str:
        """Run one adb command and return its output; raises DeviceError when adb says that it failed."""
        answer = self._call(arguments, timeout or self._answer)
        if answer.returncode != 0:
            raise self._error(explain((answer.stderr + answer.stdout).strip()))
        return answer.stdout

    def _shell(self, script: str, timeout: float) -> Completed:
        marker = f"qatflow-{secrets.token_hex(8)}"
        answer = self._call(("shell", f'( {script}\n) </dev/null; echo "{marker}=$?"'), timeout)
        stdout = answer.stdout.replace("\r\n", "\n")
        found = re.search(rf"{marker}=(\d+)\n?\Z", stdout)
        if found is None:
            said = (answer.stderr or "").strip()
            lost = "the device went away while a command ran there: check the cable and run again"
            raise self._error(explain(said) if answer.returncode and said else lost)
        return Completed(int(found[1]), stdout[: found.start()], answer.stderr)

    def _call(self, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._client, *arguments],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=timeout, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise DeviceError(f"there is no {self._client[0]}: run `apt-get install adb`") from None
        except subprocess.TimeoutExpired:
            raise self._error(
                f"no answer to `adb {arguments[0]}` within {timeout:.0f} s: wake and unlock the device, "
                "or restart it, and run again"
            ) from None

    def _check(self, answer: Completed, doing: str) -> Completed:
        if answer.status != 0:
            said = (answer.stderr or answer.stdout).strip()
            raise self._error(f"{doing} failed with status {answer.status}: {explain(said)}")
        return answer

    def _error(self, message: str) -> DeviceError:
        return DeviceError(f"device {self._settings.serial}: {message}")
