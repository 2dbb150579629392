"""How many instructions a program executed, from what qemu's user mode logs of it.

qemu translates the program's code block by block, and executes blocks. `-d in_asm` lists the instructions of each
block when it is translated, `-d exec,nochain` names each block whenever it is executed: together they give the number.
Debian's static qemu takes no plugins, which are the other way to count. Formats: qemu 7.2, accel/tcg/translate-all.c,
accel/tcg/cpu-exec.c.
"""

import re
from collections.abc import Iterable

FLAGS = ("-d", "in_asm,exec,nochain")
BLOCK = b"IN:"
INSTRUCTION = b"0x"
EXECUTED = b"Trace"
# A block that was named and then not begun, since something else was to be done first; it is named again afterwards.
NOT_BEGUN = b"Stopped execution"
# Trace 0: HOST_ADDRESS [cs_base/ADDRESS/flags/cflags] symbol; Stopped execution … before HOST_ADDRESS [ADDRESS] symbol
ADDRESS = re.compile(rb"\[(?:[0-9a-f]+/)?([0-9a-f]+)[/\]]")


class LogError(ValueError):
    """The log is not in the format of any qemu known here."""


def count_executed(log: Iterable[bytes]) -> int:
    """Return the number of instructions in all blocks that the log says were executed.

    Exact but for a block that a signal interrupts, which counts whole.

    Args:
        log: its lines.

    Raises:
        LogError: a block is executed that was not listed before.
    """
    total = 0
    listed: dict[int, int] = {}  # instructions by the address of the block translated there last
    executed: dict[bytes, int] = {}  # instructions by the whole line: the same block has the same line
    start: int | None = None
    length = 0
    for line in log:
        if line.startswith(EXECUTED):
            count = executed.get(line)
            if count is None:
                count = executed[line] = _length(line, listed)
            total += count
        elif line.startswith(INSTRUCTION):
            if start is None:
                start = int(line.partition(b":")[0], 16)
            length += 1
            listed[start] = length
        elif line.startswith(BLOCK):
            start, length = None, 0
        elif line.startswith(NOT_BEGUN):
            total -= _length(line, listed)
    return total


def _length(line: bytes, listed: dict[int, int]) -> int:
    address = ADDRESS.search(line)
    length = listed.get(int(address[1], 16)) if address else None
    if length is None:
        raise LogError(line.decode(errors="replace").strip())
    return length
