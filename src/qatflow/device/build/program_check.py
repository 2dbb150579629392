"""Is a program for the processor of the device that it is about to be put on?"""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.device.build import elf
from qatflow.device.interface import DeviceDescription, DeviceError

MAGIC = b"\x7fELF"


def is_program(path: Path) -> bool:
    """Tell whether a file is a program or library; raises UserError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}: make it again, or check its permissions") from None


def check_program(path: Path, device: DeviceDescription) -> None:
    """Raise UserError when `path` is a program or library for another processor than the device's."""
    if not is_program(path):
        return
    found = elf.machine(path)
    if found != device.machine:
        raise DeviceError(
            f"{path} is for {found}, device {device.name} runs {device.machine} programs: "
            "build it for another target, or choose another device"
        )
