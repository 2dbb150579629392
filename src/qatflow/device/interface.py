"""What every kind of device can do, and the terms for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qatflow.base.errors import UserError


class DeviceError(UserError):
    """The device, or the connection to it, failed; the message says how, and what to do."""


@dataclass(frozen=True)
class DeviceSettings:
    """How to reach a device.

    Attributes:
        type: key of `run.registry.DEVICES`.
        name: what the user calls it; results are kept under this name.
        serial: adb: serial number, as `adb devices` prints it.
        host: ssh: host, `user@host`, or a name from the user's ssh configuration.
        port: ssh: port; None for that of the configuration, or 22.
        identity: ssh: file of the private key; None for those that ssh tries by itself.
        cpu: emulator: name of the CPU to emulate.
        keep: whether the run's folder stays on the device afterwards.
        target: emulator: the system to emulate, as in `targets.TARGETS`: linux.armv8 has a C and C++ library.
    """

    type: str
    name: str
    serial: str | None = None
    host: str | None = None
    port: int | None = None
    identity: str | None = None
    cpu: str = "cortex-a76"
    keep: bool = False
    target: str = "android.armv8"


@dataclass(frozen=True)
class CpuFrequency:
    """How fast a group of cores may run that share one frequency; null is what the device does not report.

    Attributes:
        cores: their numbers, as the kernel lists them.
        governor: kernel policy that sets the frequency.
        min_khz: lowest frequency allowed now.
        max_khz: highest frequency allowed now.
        hardware_max_khz: highest frequency of the hardware.
    """

    cores: str | None
    governor: str | None
    min_khz: int | None
    max_khz: int | None
    hardware_max_khz: int | None


@dataclass(frozen=True)
class DeviceDescription:
    """A device, as it describes itself.

    Attributes:
        type: kind of device.
        name: what the user calls it.
        model: manufacturer and model of the device, or the emulator with its version.
        system: operating system and version.
        machine: processor architecture of the programs it runs, as `uname -m` prints it.
        abis: Android's names of the ABIs it supports, preferred one first; empty on other systems.
        cpu: name of the processor; null when not reported.
        features: processor features, as the Features line of /proc/cpuinfo lists them.
        cores: number of cores that are online.
        governor: frequency governor of the first core; null when it cannot be read.
        frequency: frequency limits of the cores; null when they cannot be read.
        emulated: whether it is emulated, so that times measured there say nothing about real devices.
    """

    type: str
    name: str
    model: str
    system: str
    machine: str
    abis: tuple[str, ...]
    cpu: str | None
    features: tuple[str, ...]
    cores: int
    governor: str | None
    frequency: tuple[CpuFrequency, ...] | None
    emulated: bool


@dataclass(frozen=True)
class Completed:
    """A command that ran to its end on a device.

    Attributes:
        status: its exit status; 128 + n when signal n ended it.
        stdout: its output.
        stderr: its error output (over adb, devices before Android 7 send it as part of stdout).
    """

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class SystemCall:
    """A system call of a program.

    Attributes:
        name: of the call.
        instructions: that the program had executed before it, the call's own included.
        text: the call with its arguments and what it returned, as the device logs it.
    """

    name: str
    instructions: int
    text: str


class Device(Protocol):
    """A place where programs run, with its own folder for one run.

    File names are relative to that folder. Every call has a time limit. Failures of the device raise DeviceError.
    """

    def describe(self) -> DeviceDescription:
        """Return the device's description."""

    def temperatures(self) -> dict[str, float]:
        """Return what the device's sensors read now, in degrees Celsius, by name; empty where none can be read."""

    def push(self, local: Path, name: str) -> None:
        """Copy a file to the device as `name`, whole or not at all; executable if `local` is.

        A file that is there already with the same checksum is not copied again. Raises UserError when there is no room
        for it, or when it is a program for another processor.
        """

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Run `command` in the run's folder and wait for it to end, at most `timeout` seconds.

        The command must be safe to run twice: if the device disappears and comes back, it is started again.
        """

    def count_instructions(self, command: Sequence[str], timeout: float) -> int | None:
        """Run `command` as `run` does, and return how many instructions it executed; None if the device cannot count.

        Also raises DeviceError when the command ends with a status other than 0.
        """

    def system_calls(self, command: Sequence[str], timeout: float) -> list[SystemCall] | None:
        """Run `command` as `count_instructions` does, and return its system calls; None if the device cannot count."""

    def pull(self, name: str, local: Path) -> None:
        """Copy the device's file `name` to `local`, whole or not at all."""

    def cleanup(self) -> None:
        """Remove the run's folder from the device unless the settings say `keep`. This is the last call on a device."""
