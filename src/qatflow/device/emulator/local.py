"""A device whose programs run on this machine, in a folder of their own below the temporary one."""

import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.files import sha256, whole_file
from qatflow.device import lifetime
from qatflow.device.build.elf import check_program
from qatflow.device.interface import Completed, DeviceDescription, DeviceError, DeviceSettings

RUN, KEPT = "qatflow-emulator", "qatflow-kept"
ENVIRONMENT = {"LC_ALL": "C"}


class LocalDevice:
    """The run's folder and what is done there; see `interface.Device` for the calls.

    Attributes:
        where: what messages call the place.
        folder: the run's, where programs start.
        temporary: holds that folder and whatever else a kind of device needs; removed at the end.
    """

    where = "on this machine"

    def __init__(self, settings: DeviceSettings, description: DeviceDescription) -> None:
        """Make the run's folder, after those that killed runs have left are removed.

        Raises:
            DeviceError: the temporary folder cannot be written.
        """
        self._settings, self._description = settings, description
        self._token = secrets.token_hex(6)
        self.temporary = Path(tempfile.gettempdir(), f"{RUN}-{lifetime.mark(self._token)}")
        self.folder = self.temporary / "run"
        lifetime.sweep(self.temporary.parent, RUN)
        try:
            self.temporary.mkdir(mode=0o700)
            self.folder.mkdir()
        except OSError as error:
            raise self._unwritable(error) from None

    def describe(self) -> DeviceDescription:
        """Return the description that was given."""
        return self._description

    def push(self, local: Path, name: str) -> None:
        """Copy a file into the run's folder."""
        check_program(local, self._description)
        place = self.folder / name
        if place.is_file() and sha256(place) == sha256(local):
            place.chmod(local.stat().st_mode & 0o777)
            return
        size, free = local.stat().st_size, shutil.disk_usage(self.folder).free
        if free < size:
            raise DeviceError(
                f"{name} needs {size / 1e6:.1f} MB and {self.folder} has {free / 1e6:.1f} MB free: "
                "free some space there, or set TMPDIR to a folder with more"
            )
        with whole_file(place) as temporary:
            shutil.copy(local, temporary)

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Run a program in the run's folder."""
        try:
            answer = subprocess.run(
                self._command(command), cwd=self.folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise self._too_long(command, timeout) from None
        return Completed(exit_status(answer.returncode), answer.stdout, answer.stderr)

    def pull(self, name: str, local: Path) -> None:
        """Copy a file out of the run's folder."""
        source = self.folder / name
        if not source.is_file():
            raise DeviceError(f"there is no {name} {self.where}: the program did not write it")
        with whole_file(local) as temporary:
            shutil.copyfile(source, temporary)

    def cleanup(self) -> None:
        """Remove the run's folder; with `keep`, leave it under a name that no later run removes."""
        if self._settings.keep:
            kept = self.temporary.rename(self.temporary.with_name(f"{KEPT}-{self._token}"))
            print(f"kept {self.where}: {kept / self.folder.name}", file=sys.stderr)
        else:
            shutil.rmtree(self.temporary, ignore_errors=True)

    def _command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that starts a program of the device."""
        raise NotImplementedError

    def _too_long(self, command: Sequence[str], timeout: float) -> DeviceError:
        return DeviceError(
            f"{command[0]} did not end within {timeout:.0f} s {self.where} and was stopped: run fewer pictures"
        )

    def _unwritable(self, error: OSError) -> DeviceError:
        shutil.rmtree(self.temporary, ignore_errors=True)
        return DeviceError(
            f"cannot write {self.temporary}: {error.strerror}: make room, or set TMPDIR to another folder"
        )


def exit_status(code: int) -> int:
    """Return a process's status as a shell reports it."""
    return code if code >= 0 else 128 - code
