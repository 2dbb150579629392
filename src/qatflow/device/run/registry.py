"""The kinds of device, by their name in `device.type`; a new kind is a class and a line in this table."""

import contextlib
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from qatflow.base import host
from qatflow.base.errors import UserError
from qatflow.base.system_packages import how_to_install
from qatflow.config.sections.device import DeviceSection
from qatflow.device.adb.device import AdbDevice
from qatflow.device.emulator.device import Emulator
from qatflow.device.emulator.this_machine import ThisMachine
from qatflow.device.interface import Device, DeviceError, DeviceSettings
from qatflow.device.ssh.device import SshDevice


def emulator(settings: DeviceSettings) -> Device:
    """Return qemu's device, or this machine where it runs the same programs itself."""
    return (ThisMachine if host.machine() == host.ARM64 else Emulator)(settings)


DEVICES: dict[str, Callable[[DeviceSettings], Device]] = {
    "emulator": emulator,
    "adb": AdbDevice,
    "ssh": SshDevice,
}
CLIENTS = {"adb": "adb", "ssh": "ssh"}
"""Program by which this machine reaches devices that need not be there yet, by type."""
TERMINATED = 143  # 128 + SIGTERM, what a shell reports


def device_settings(section: DeviceSection) -> DeviceSettings:
    """Return how to reach the device of a section of the configuration."""
    return DeviceSettings(
        type=section.type,
        name=section.name,
        serial=section.serial,
        host=section.host,
        port=section.port,
        identity=section.identity,
        cpu=section.cpu,
        keep=section.keep,
        target=section.target,
    )


@contextlib.contextmanager
def open_device(settings: DeviceSettings) -> Iterator[Device]:
    """Yield the device; the run's files there are removed at the end, even if the run failed or was terminated.

    Raises:
        UserError: the kind is unknown, or the device cannot be reached.
        SystemExit: with status 143, after cleaning up, on SIGTERM.
    """
    if settings.type not in DEVICES:
        raise UserError(f"device.type {settings.type!r} is unknown; it can be: {', '.join(DEVICES)}")
    with _sigterm_unwinds():
        device = DEVICES[settings.type](settings)
        try:
            yield device
        except BaseException:
            # A device that is gone cannot be cleaned up; the first error is the one to report.
            with contextlib.suppress(DeviceError):
                device.cleanup()
            raise
        device.cleanup()


def check_device(settings: DeviceSettings) -> None:
    """Raise UserError if the device cannot be used from this machine.

    A phone or a board need not be connected yet: it may take hours until it is needed.
    """
    if settings.type not in CLIENTS:
        with open_device(settings):
            return
    program = CLIENTS[settings.type]
    if shutil.which(program) is None:
        raise DeviceError(f"device.type {settings.type} needs the {program} client: {how_to_install(program)}")


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
