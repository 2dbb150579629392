"""What every kind of device can do, and the words used for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qatflow.base.errors import UserError

if TYPE_CHECKING:  # what only builds or fetches has no section among its inputs
    from qatflow.config.sections.device import DeviceSection


class DeviceError(UserError):
    """The device, or the way to it, failed; the message says how and what to do."""


@dataclass(frozen=True)
class DeviceSettings:
    """How to reach a device.

    Attributes:
        type: key of `run.registry.DEVICES`.
        name: what the user calls it; results are kept under this name.
        serial: adb: serial number, as `adb devices` prints it.
        cpu: emulator: name of the CPU to imitate.
        keep: whether the run's folder stays on the device afterwards.
        target: emulator: the system to imitate, as in `targets.TARGETS`: linux.armv8 has a C and C++ library.
    """

    type: str
    name: str
    serial: str | None = None
    cpu: str = "cortex-a76"
    keep: bool = False
    target: str = "android.armv8"

    @staticmethod
    def of(section: "DeviceSection") -> "DeviceSettings":
        """Return the settings that the configuration's section of a device says."""
        return DeviceSettings(
            type=section.type,
            name=section.name,
            serial=section.serial,
            cpu=section.cpu,
            keep=section.keep,
            target=section.target,
        )


@dataclass(frozen=True)
class CpuFrequency:
    """How fast cores may run that change their frequency together; null is what the device does not tell.

    Attributes:
        cores: their numbers, as the kernel lists them.
        governor: what decides on the frequency.
        min_khz: lower limit in force.
        max_khz: upper limit in force.
        hardware_max_khz: highest frequency of the hardware.
    """

    cores: str | None
    governor: str | None
    min_khz: int | None
    max_khz: int | None
    hardware_max_khz: int | None


@dataclass(frozen=True)
class DeviceDescription:
    """A device, in its own words.

    Attributes:
        type: kind of device.
        name: what the user calls it.
        model: maker's name of the device, or of the emulator with its version.
        system: operating system and version.
        machine: processor architecture of programs it runs, as `uname -m` prints it.
        abis: Android's names of the ABIs it runs, the best first; empty on other systems.
        cpu: name of the processor; null when it does not tell.
        features: processor features, as the Features line of /proc/cpuinfo lists them.
        cores: processors that are online.
        governor: frequency governor of the first core; null when it cannot be read.
        frequency: limits of the cores' frequency; null when they cannot be read.
        emulated: whether times measured there mean nothing for real devices.
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
        stdout: what it printed.
        stderr: what it printed to stderr (over adb from devices before Android 7 this is part of stdout).
    """

    status: int
    stdout: str
    stderr: str


class Device(Protocol):
    """A place where programs run, with a folder of its own for one run.

    Names are relative to that folder. Every call ends within a time limit. Errors of the device are DeviceError.
    """

    def describe(self) -> DeviceDescription:
        """Return what the device is."""

    def temperatures(self) -> dict[str, float]:
        """Return what the device's sensors tell now, in degrees Celsius, by their names; empty where none is read."""

    def push(self, local: Path, name: str) -> None:
        """Copy a file to the device under `name`, whole or not at all; executable where `local` is.

        What is there already with the same sum is left. Raises UserError when there is no room for it, or when it is a
        program for another processor.
        """

    def run(self, command: Sequence[str], timeout: float) -> Completed:
        """Run `command` in the run's folder and wait for its end, at most `timeout` seconds.

        It must be one that can be run twice: a device that goes away meanwhile and comes back starts it anew.
        """

    def count_instructions(self, command: Sequence[str], timeout: float) -> int | None:
        """Run `command` as `run` does, and return how many instructions it executed; None where that cannot be told.

        Raises DeviceError also where the command ends with a status other than 0.
        """

    def pull(self, name: str, local: Path) -> None:
        """Copy the device's file `name` to `local`, whole or not at all."""

    def cleanup(self) -> None:
        """Remove the run's folder from the device, unless the settings say keep; no other call may follow."""
