"""A device for those without a phone: programs for aarch64 under qemu user mode, with a named CPU."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.emulated_cpus import CORES, find_cpu
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_file
from qatflow.device import lifetime
from qatflow.device.build.elf import check_program
from qatflow.device.emulator import qemu_log
from qatflow.device.emulator.sysroot import link_libraries, write_sysroot
from qatflow.device.endings import explain_ending
from qatflow.device.interface import Completed, DeviceDescription, DeviceError, DeviceSettings, SystemCall
from qatflow.device.lifetime import dies_with_parent

COMMANDS = ("qemu-aarch64-static", "qemu-aarch64")
RUN, KEPT = "qatflow-emulator", "qatflow-kept"
ANSWER_SECONDS = 30.0
ENVIRONMENT = {"LC_ALL": "C"}


class Emulator:
    """qemu user mode; see `interface.Device` for the calls."""

    def __init__(self, settings: DeviceSettings) -> None:
        """Make the run's folder and the files that describe the CPU.

        Raises:
            UserError: the CPU is unknown here or to the installed qemu, or qemu is missing.
        """
        self._settings = settings
        self._cpu = find_cpu(settings.cpu)
        command = next(filter(None, map(shutil.which, COMMANDS)), None)
        if command is None:
            raise DeviceError("the emulator needs qemu-aarch64-static: run `apt-get install qemu-user-static`")
        self._qemu = command
        if self._cpu.name not in self._ask("-cpu", "help").split():
            raise DeviceError(f"{command} does not know the CPU {self._cpu.name}: install qemu 7.2 or later")
        self._description = self._describe()
        self._token = secrets.token_hex(6)
        self._temporary = Path(tempfile.gettempdir(), f"{RUN}-{lifetime.mark(self._token)}")
        self._folder, self._sysroot = self._temporary / "run", self._temporary / "sysroot"
        lifetime.sweep(self._temporary.parent, RUN)
        try:
            self._temporary.mkdir(mode=0o700)
            self._folder.mkdir()
            write_sysroot(self._sysroot, self._cpu)
            if settings.target.startswith("linux."):
                link_libraries(self._sysroot)
        except UserError:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise DeviceError(
                f"cannot write {self._temporary}: {error.strerror}: make room, or set TMPDIR to another folder"
            ) from None

    def describe(self) -> DeviceDescription:
        """Return which device is emulated, and by which qemu."""
        return self._description

    def temperatures(self) -> dict[str, float]:
        """Return no temperatures: this machine's are not the device's."""
        return {}

    def push(self, local: Path, name: str) -> None:
        """Copy a file into the run's folder."""
        check_program(local, self._description)
        place = self._folder / name
        if place.is_file() and sha256(place) == sha256(local):
            place.chmod(local.stat().st_mode & 0o777)
            return
        size, free = local.stat().st_size, shutil.disk_usage(self._folder).free
        if free < size:
            raise DeviceError(
                f"{name} needs {size / 1e6:.1f} MB and {self._folder} has {free / 1e6:.1f} MB free: "
                "free some space there, or set TMPDIR to a folder with more"
            )
        with whole_file(place) as temporary:
            shutil.copy(local, temporary)

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Run a program for aarch64."""
        try:
            answer = subprocess.run(
                self._command(command), cwd=self._folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _too_long(command, timeout) from None
        return Completed(_status(answer.returncode), answer.stdout, answer.stderr)

    def count_instructions(self, command: Sequence[str], timeout: float) -> int:
        """Run a program and count its instructions from qemu's log of executed blocks."""
        return self._logged(command, timeout, qemu_log.FLAGS)

    def system_calls(self, command: Sequence[str], timeout: float) -> list[SystemCall]:
        """Run a program and return its system calls from the same log."""
        calls: list[SystemCall] = []
        self._logged(command, timeout, qemu_log.WITH_CALLS, calls)
        return calls

    def _logged(
        self, command: Sequence[str], timeout: float, flags: Sequence[str], calls: list[SystemCall] | None = None
    ) -> int:
        """Run a program and count its instructions; the log comes through a pipe."""
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb"), tempfile.TemporaryFile("w+", errors="replace") as stderr:
            try:
                process = subprocess.Popen(
                    self._command(command, *flags, "-D", f"/dev/fd/{writing}"), cwd=self._folder,
                    env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                    pass_fds=[writing],
                )  # fmt: skip
            finally:
                os.close(writing)
            timer = threading.Timer(timeout, process.kill)
            timer.start()
            unknown = None
            count = 0
            try:
                count = qemu_log.count_executed(qemu_log.lines(reading), calls)
                process.wait()
            except qemu_log.LogError as error:
                unknown = error
            finally:
                in_time = timer.is_alive()
                timer.cancel()
                process.kill()
                status = _status(process.wait())
            stderr.seek(0)
            answer = Completed(status, "", stderr.read())
        if not in_time:
            raise _too_long(command, timeout)
        if unknown is not None:
            raise DeviceError(
                f"{self._qemu} logs what it executes in an unknown format ({unknown}): "
                "install Debian's qemu-user-static"
            )
        if answer.status != 0:
            raise DeviceError(f"{command[0]} ended with status {answer.status}: {explain_ending(answer)}")
        return count

    def pull(self, name: str, local: Path) -> None:
        """Copy a file out of the run's folder."""
        source = self._folder / name
        if not source.is_file():
            raise DeviceError(f"there is no {name} in the emulator: the program did not write it")
        with whole_file(local) as temporary:
            shutil.copyfile(source, temporary)

    def cleanup(self) -> None:
        """Remove the run's folder; with `keep`, leave it under a name that no later run removes."""
        if self._settings.keep:
            kept = self._temporary.rename(self._temporary.with_name(f"{KEPT}-{self._token}"))
            print(f"kept in the emulator: {kept / self._folder.name}", file=sys.stderr)
        else:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _command(self, command: Sequence[str], *flags: str) -> list[str]:
        return dies_with_parent([self._qemu, "-cpu", self._cpu.name, "-L", str(self._sysroot), *flags, *command])

    def _describe(self) -> DeviceDescription:
        version = re.search(r"version (\S+)", self._ask("--version"))
        return DeviceDescription(
            type="emulator",
            name=self._settings.name,
            model=f"qemu user mode {version[1] if version else '(unknown version)'}",
            system="Linux",
            machine="aarch64",
            abis=(),
            cpu=self._cpu.name,
            features=self._cpu.features,
            cores=CORES,
            governor=None,
            frequency=None,
            emulated=True,
        )

    def _ask(self, *arguments: str) -> str:
        try:
            answer = subprocess.run(
                [self._qemu, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=ANSWER_SECONDS, check=False,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError) as error:
            raise DeviceError(f"{self._qemu} cannot be started ({error}): reinstall qemu-user-static") from None
        return answer.stdout


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code


def _too_long(command: Sequence[str], timeout: float) -> DeviceError:
    return DeviceError(
        f"{command[0]} did not end within {timeout:.0f} s in the emulator and was stopped: run fewer pictures"
    )
