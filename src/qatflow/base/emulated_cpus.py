"""CPUs that the emulator can emulate, each as the Linux kernel shows it to programs.

The check of a configuration needs their names, the emulator the rest. LiteRT chooses its kernels by these features: one
that qemu's CPU lacks ends in an illegal instruction. The numbers are those of MIDR_EL1 (Arm Architecture Reference
Manual), the features those of the kernel's AT_HWCAP, both as qemu 7.2 gives them to a program;
`tests/device/test_emulator.py` checks the table against qemu.
"""

from dataclasses import dataclass

from qatflow.base.errors import UserError

CORES = 4
"""Cores that the emulator shows to programs."""
_ARMV8_0 = ("fp", "asimd", "aes", "pmull", "sha1", "sha2", "crc32", "cpuid")
_ARMV8_2 = (
    *("fp", "asimd", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid"),
    *("asimdrdm", "lrcpc", "dcpop", "asimddp"),
)


@dataclass(frozen=True)
class Cpu:
    """A processor core.

    Attributes:
        name: qemu's name.
        implementer: MIDR_EL1, bits 31…24.
        variant: bits 23…20.
        part: bits 15…4.
        revision: bits 3…0.
        features: words of the Features line of /proc/cpuinfo.
    """

    name: str
    implementer: int
    variant: int
    part: int
    revision: int
    features: tuple[str, ...]


CPUS = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a35", 0x41, 0x1, 0xD04, 0, _ARMV8_0),
        Cpu("cortex-a53", 0x41, 0x0, 0xD03, 4, _ARMV8_0),
        Cpu("cortex-a57", 0x41, 0x1, 0xD07, 0, _ARMV8_0),
        Cpu("cortex-a72", 0x41, 0x0, 0xD08, 3, _ARMV8_0),
        Cpu("cortex-a76", 0x41, 0x4, 0xD0B, 1, _ARMV8_2),
        Cpu("neoverse-n1", 0x41, 0x4, 0xD0C, 1, _ARMV8_2),
    )
}


def find_cpu(name: str) -> Cpu:
    """Return the CPU of that name; raises UserError that lists the known ones if there is none."""
    if name not in CPUS:
        raise UserError(f"the emulator does not know the CPU {name!r}; it can be: {', '.join(CPUS)}")
    return CPUS[name]
