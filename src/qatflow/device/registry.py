"""The kinds of device, by the name that `device.type` gives; a new one is a class and a line here."""

import contextlib
from collections.abc import Callable, Iterator

from qatflow.device.adb import AdbDevice
from qatflow.device.emulator import Emulator
from qatflow.device.interface import Device, DeviceError, DeviceSettings
from qatflow.errors import UserError

DEVICES: dict[str, Callable[[DeviceSettings], Device]] = {
    "emulator": Emulator,
    "adb": AdbDevice,
}


@contextlib.contextmanager
def open_device(settings: DeviceSettings) -> Iterator[Device]:
    """Yield the device; what was put there is removed at the end, whether the run succeeded or not.

    Raises:
        UserError: the kind is unknown, or the device cannot be reached.
    """
    if settings.type not in DEVICES:
        raise UserError(f"device.type {settings.type!r} is unknown; it can be: {', '.join(DEVICES)}")
    device = DEVICES[settings.type](settings)
    try:
        yield device
    except BaseException:
        # A device that is gone cannot be cleaned; the first error is the one to tell.
        with contextlib.suppress(DeviceError):
            device.cleanup()
        raise
    device.cleanup()
