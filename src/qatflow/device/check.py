"""What can be known of build and device before any work begins."""

import shutil
from pathlib import Path

from qatflow.device.build.build import check_tools
from qatflow.device.build.ndk import check_aar
from qatflow.device.build.targets import find_target
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.registry import open_device


def check_build(target: str, toolchain: str, aar: str | None = None) -> None:
    """Raise UserError when the demo cannot be built: a tool is missing (with its apt package), the NDK or the AAR."""
    found = find_target(target, toolchain)
    check_tools(found)
    if aar is not None:
        check_aar(Path(aar), found.machine)


def check_device(settings: DeviceSettings) -> None:
    """Raise UserError when the device cannot be used from here.

    An adb device need not be connected yet: the run may take hours until it is its turn.
    """
    if settings.type != "adb":
        with open_device(settings):
            return
    if shutil.which("adb") is None:
        raise DeviceError("device.type adb needs the adb client: run `apt-get install adb`")
