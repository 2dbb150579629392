"""How many instructions a program executed, counted from the log of qemu's user mode.

qemu translates the program's code in blocks and executes these. `-d in_asm` lists a block's instructions when it is
translated, `-d exec,nochain` names each block whenever it is executed: together they give the number. Plugins would
be another way, but Debian's static qemu has none. `-strace` adds a line for each system call, which ends a block. Log
formats: qemu 7.2, accel/tcg/translate-all.c, accel/tcg/cpu-exec.c and linux-user/strace.c.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator

from qatflow.device.interface import SystemCall

FLAGS = ("-d", "in_asm,exec,nochain")
WITH_CALLS = (*FLAGS, "-strace")
BLOCK = b"IN:"
INSTRUCTION = b"0x"
EXECUTED = b"Trace"
# A block that was named but not started, because something else came first; it is named again afterwards.
NOT_BEGUN = b"Stopped execution"
# Trace 0: HOST_ADDRESS [cs_base/ADDRESS/flags/cflags] symbol; Stopped execution … before HOST_ADDRESS [ADDRESS] symbol
ADDRESS = re.compile(rb"\[(?:[0-9a-f]+/)?([0-9a-f]+)[/\]]")
# PROCESS name(arguments) = result
CALL = re.compile(rb"\d+ (\w+)\(")

PIPE_BYTES = 2**20
"""Size of the log's pipe, as large as Linux allows it to all users."""
PAUSE = 0.001
"""Seconds in which the pipe may fill. qemu writes each line by itself; to read it at once would cost a switch each."""


class LogError(ValueError):
    """The log is not in a format that is known here."""


def lines(pipe: int) -> Iterator[bytes]:
    """Yield the lines that come through a pipe, each with its end, until the writer closes it.

    Args:
        pipe: descriptor of the end to read from.
    """
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    rest = b""
    while content := os.read(pipe, PIPE_BYTES):
        *whole, rest = (rest + content).splitlines(keepends=True)
        if rest.endswith(b"\n"):
            whole, rest = [*whole, rest], b""
        yield from whole
        if len(content) < PIPE_BYTES // 2:
            time.sleep(PAUSE)
    if rest:
        yield rest


def count_executed(log: Iterable[bytes], calls: list[SystemCall] | None = None) -> int:
    """Return the number of instructions in all blocks that were executed according to the log.

    The number is exact, except that a block interrupted by a signal counts in full.

    Args:
        log: its lines.
        calls: gets the system calls, where the log has them.

    Raises:
        LogError: a block was executed that was not listed before.
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
        elif calls is not None and (call := CALL.match(line)):
            calls.append(SystemCall(call[1].decode(), total, line.decode(errors="replace").strip()))
    return total


def _length(line: bytes, listed: dict[int, int]) -> int:
    address = ADDRESS.search(line)
    length = listed.get(int(address[1], 16)) if address else None
    if length is None:
        raise LogError(line.decode(errors="replace").strip())
    return length
