"""What an ELF file says of itself, read from its header."""

from pathlib import Path

from qatflow.base.errors import UserError

# e_machine of the ELF header (System V ABI) by the name that `uname -m` prints.
MACHINES = {"aarch64": 183, "x86_64": 62}


def machine(path: Path) -> str:
    """Return the processor that an ELF file is for, as `uname -m` names it.

    Raises:
        UserError: the file is missing, no ELF file, or for a processor that is not in `MACHINES`.
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    number = int.from_bytes(header[18:20], "little")
    names = [name for name, known in MACHINES.items() if known == number]
    if header[:4] != b"\x7fELF" or not names:
        raise UserError(f"{path} is no program or library for {' or '.join(MACHINES)}")
    return names[0]
