"""The targets that the demo can be built for."""

from dataclasses import dataclass

from qatflow.base import host
from qatflow.base.errors import UserError


@dataclass(frozen=True)
class BuildTarget:
    """A kind of device and the compiler that builds for it.

    Attributes:
        name: operating system and architecture, as in build.lite.<name>.<toolchain>.
        toolchain: the compiler's family; cmake/<name>.<toolchain>.cmake sets it up.
        machine: processor, as `uname -m` prints it.
        own_loader: whether the bundle carries a loader and C/C++ libraries, for systems without glibc.
        ndk: whether the Android NDK builds it, for Android's C library.
    """

    name: str
    toolchain: str
    machine: str
    own_loader: bool = False
    ndk: bool = False

    @property
    def compiler(self) -> str:
        """Command of the C++ compiler; for the Android NDK, its path in the NDK.

        A machine builds for its own processor by its own compiler.
        """
        if self.ndk:
            return "toolchains/llvm/prebuilt/linux-x86_64/bin/clang++"
        return "g++" if self.machine == host.machine() else f"{self.machine}-linux-gnu-g++"

    @property
    def tools(self) -> tuple[str, ...]:
        """Commands needed to build."""
        return ("readelf" if self.ndk else self.compiler, "cmake", "make")


TARGETS = (
    BuildTarget("android.armv8", "gcc", "aarch64", own_loader=True),
    BuildTarget("android.armv8", "clang", "aarch64", ndk=True),
    BuildTarget("linux.armv8", "gcc", "aarch64"),
    BuildTarget("linux.x86_64", "gcc", "x86_64"),
)


ARM_32 = ("armeabi", "armv6", "armv7", "armv8l")
"""How the names of 32-bit ARM begin: Android's ABIs, and what `uname -m` prints; armv8l is a 64-bit processor."""
NO_ARM_32 = (
    "the package ai-edge-litert has no library for 32-bit ARM: if its processor has 64 bits, install a 64-bit system, "
    "else choose another device"
)


def is_arm_32(machine: str) -> bool:
    """Return whether a device runs 32-bit ARM programs only; `machine` as `uname -m` prints it, or a list of ABIs."""
    return machine.startswith(ARM_32)


def find_target(name: str, toolchain: str) -> BuildTarget:
    """Return the target of that name and toolchain; raises UserError that lists the known ones if there is none."""
    for target in TARGETS:
        if (target.name, target.toolchain) == (name, toolchain):
            return target
    if is_arm_32(name.partition(".")[2]):
        raise UserError(f"the demo cannot be built for {name}: {NO_ARM_32}")
    known = ", ".join(f"{target.name} with {target.toolchain}" for target in TARGETS)
    raise UserError(f"the demo cannot be built for {name} with {toolchain}; known: {known}")
