"""A device for those without a phone: programs for aarch64 under qemu user mode, with a named CPU."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence

from qatflow.base.emulated_cpus import CORES, find_cpu
from qatflow.base.errors import UserError
from qatflow.base.system_packages import how_to_install
from qatflow.device.emulator import qemu_log
from qatflow.device.emulator.local import ENVIRONMENT, LocalDevice, exit_status
from qatflow.device.emulator.sysroot import link_libraries, write_sysroot
from qatflow.device.endings import explain_ending
from qatflow.device.interface import Completed, DeviceDescription, DeviceError, DeviceSettings, SystemCall
from qatflow.device.lifetime import dies_with_parent

COMMANDS = ("qemu-aarch64-static", "qemu-aarch64")
ANSWER_SECONDS = 30.0


class Emulator(LocalDevice):
    """qemu user mode; see `interface.Device` for the calls."""

    where = "in the emulator"

    def __init__(self, settings: DeviceSettings) -> None:
        """Make the run's folder and the files that describe the CPU.

        Raises:
            UserError: the CPU is unknown here or to the installed qemu, or qemu is missing.
        """
        self._cpu = find_cpu(settings.cpu)
        command = next(filter(None, map(shutil.which, COMMANDS)), None)
        if command is None:
            raise DeviceError(f"the emulator needs {COMMANDS[0]}: {how_to_install(COMMANDS[0])}")
        self._qemu = command
        if self._cpu.name not in self._ask("-cpu", "help").split():
            raise DeviceError(f"{command} does not know the CPU {self._cpu.name}: install qemu 7.2 or later")
        super().__init__(settings, self._describe(settings.name))
        self._sysroot = self.temporary / "sysroot"
        try:
            write_sysroot(self._sysroot, self._cpu)
            if settings.target.startswith("linux."):
                link_libraries(self._sysroot)
        except UserError:
            shutil.rmtree(self.temporary, ignore_errors=True)
            raise
        except OSError as error:
            raise self._unwritable(error) from None

    def temperatures(self) -> dict[str, float]:
        """Return no temperatures: this machine's are not the device's."""
        return {}

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
                    self._command(command, *flags, "-D", f"/dev/fd/{writing}"), cwd=self.folder,
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
                status = exit_status(process.wait())
            stderr.seek(0)
            answer = Completed(status, "", stderr.read())
        if not in_time:
            raise self._too_long(command, timeout)
        if unknown is not None:
            raise DeviceError(
                f"{self._qemu} logs what it executes in an unknown format ({unknown}): "
                "install Debian's qemu-user-static"
            )
        if answer.status != 0:
            raise DeviceError(f"{command[0]} ended with status {answer.status}: {explain_ending(answer)}")
        return count

    def _command(self, command: Sequence[str], *flags: str) -> list[str]:
        return dies_with_parent([self._qemu, "-cpu", self._cpu.name, "-L", str(self._sysroot), *flags, *command])

    def _describe(self, name: str) -> DeviceDescription:
        version = re.search(r"version (\S+)", self._ask("--version"))
        return DeviceDescription(
            type="emulator",
            name=name,
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
