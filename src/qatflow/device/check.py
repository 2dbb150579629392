"""What can be known of build and device before any work begins."""

import shutil

from qatflow.device.build import check_tools
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.registry import open_device
from qatflow.device.targets import find_target


def check_build(target: str, toolchain: str) -> None:
    """Raise UserError, naming the apt packages, when a tool to build for the target is missing."""
    check_tools(find_target(target, toolchain))


def check_device(settings: DeviceSettings) -> None:
    """Raise UserError when the device cannot be used from here.

    An adb device need not be connected yet: the run may take hours until it is its turn.
    """
    if settings.type != "adb":
        with open_device(settings):
            return
    if shutil.which("adb") is None:
        raise DeviceError("device.type adb needs the adb client: run `apt-get install adb`")
