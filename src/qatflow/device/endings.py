"""Why a program on a device failed, and what to do about it."""

import re

from qatflow.device.interface import Completed

# Exit statuses that are not the program's own: the shell's, and 128 + signal.
STATUSES = {
    126: "it could not be started there: is the folder mounted noexec, or is the file for another processor?",
    127: "the program, its loader or a library is missing there: does device.target fit the device? android.armv8 with "
    "gcc carries its own; build it with `snakemake --cores all build_demo`",
    132: "illegal instruction: LiteRT used an instruction that this CPU does not have: in the emulator choose another "
    "device.cpu; on a device, check that its CPU is armv8-a",
    134: "it aborted: run it again with device.keep, then by hand on the device",
    135: "bus error: is its file on the device complete? run it again",
    137: "it was killed, probably because memory ran out: close other programs there, or use a smaller model",
    139: "it crashed (segmentation fault): run it again with device.keep, then by hand on the device",
    159: "a system call is forbidden there: run it from `adb shell`, not from an app",
}
# How qemu and glibc's loader say that a loader or library is missing.
MISSING = re.compile(
    r"qemu-aarch64\S*: Could not open '(?P<loader>[^']+)'|error while loading shared libraries: (?P<library>[^:]+)"
)


def explain_ending(answer: Completed) -> str:
    """Return one line that explains a status other than 0 and the last message."""
    lines = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
    last = lines[-1].strip() if lines else "no message"
    missing = MISSING.search(answer.stderr) or MISSING.search(answer.stdout)  # one stream before Android 7
    if missing:
        return (
            f"{missing['loader'] or missing['library']} is missing there: build the demo for a target that carries its "
            "own loader and libraries (device.target: android.armv8, device.toolchain: gcc)"
        )
    if answer.status in (126, 127) and lines:
        return f"{last}: {STATUSES[answer.status]}"
    return STATUSES.get(answer.status, last)
