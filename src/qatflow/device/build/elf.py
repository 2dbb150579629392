"""Programs and libraries (ELF files): for which processor, and whether a device can run them."""

from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.device.interface import DeviceDescription, DeviceError

# e_machine of the ELF header (System V ABI) by the name that `uname -m` prints.
MACHINES = {"aarch64": 183, "x86_64": 62}
MAGIC = b"\x7fELF"


def machine(path: Path) -> str:
    """Return the processor that an ELF file is for, as `uname -m` names it.

    Raises:
        UserError: the file is missing, is not an ELF file, or is for a processor that is not in `MACHINES`.
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    number = int.from_bytes(header[18:20], "little")
    names = [name for name, known in MACHINES.items() if known == number]
    if header[: len(MAGIC)] != MAGIC or not names:
        raise UserError(f"{path} is not a program or library for {' or '.join(MACHINES)}")
    return names[0]


def is_program(path: Path) -> bool:
    """Return whether a file is a program or library; raises UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}: make it again, or check its permissions") from None


def check_program(path: Path, device: DeviceDescription) -> None:
    """Raise UserError when `path` is a program or library for another processor than the device's."""
    if not is_program(path):
        return
    processor = machine(path)
    if processor != device.machine:
        raise DeviceError(
            f"{path} is for {processor}, device {device.name} runs {device.machine} programs: "
            "build it for another target, or choose another device"
        )
