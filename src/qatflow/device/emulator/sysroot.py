"""The /proc and /sys files from which a program learns what CPU it runs on, for qemu's `-L`.

qemu user mode would show the host's files, and LiteRT's cpuinfo library fails on those of an x86 host. Every file that
the library opens is provided here, so that nothing of the host's processor is visible.
"""

from pathlib import Path

from qatflow.base.emulated_cpus import CORES, Cpu
from qatflow.base.errors import UserError
from qatflow.base.system_packages import how_to_install

KIBIBYTES_L2 = 512
LOADER = "ld-linux-aarch64.so.1"


# Where Debian's cross compiler keeps the loader and the C and C++ libraries of an arm64 Debian.
BOARD_LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
BOARD_FILES = tuple(f"{BOARD_LIBRARIES}/{name}" for name in ("libc.so.6", "libstdc++.so.6"))


def link_libraries(folder: Path) -> None:
    """Add the libraries of a board to the folder of `write_sysroot`; raises UserError if they are missing."""
    if not (BOARD_LIBRARIES / LOADER).is_file():
        raise UserError(
            f"the emulator has no {BOARD_LIBRARIES}/{LOADER} to emulate a board with: {how_to_install(*BOARD_FILES)}, "
            "or set device.target to android.armv8"
        )
    (folder / "lib").symlink_to(BOARD_LIBRARIES)


def write_sysroot(folder: Path, cpu: Cpu) -> None:
    """Write the files for a processor of `CORES` equal cores under `folder`."""
    for name, text in _files(cpu).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


def _files(cpu: Cpu) -> dict[str, str]:
    every = f"0-{CORES - 1}\n"
    system = "sys/devices/system/cpu"
    files = {
        "proc/cpuinfo": "".join(_core(cpu, core) for core in range(CORES)),
        f"{system}/kernel_max": f"{CORES - 1}\n",
        f"{system}/possible": every,
        f"{system}/present": every,
        f"{system}/online": every,
    }
    for core in range(CORES):
        files |= {
            f"{system}/cpu{core}/topology/physical_package_id": "0\n",
            f"{system}/cpu{core}/topology/core_id": f"{core}\n",
            f"{system}/cpu{core}/topology/cluster_cpus_list": every,
            f"{system}/cpu{core}/topology/core_siblings_list": every,
            f"{system}/cpu{core}/topology/thread_siblings_list": f"{core}\n",
            f"{system}/cpu{core}/topology/package_cpus_list": every,
            f"{system}/cpu{core}/cpufreq/cpuinfo_max_freq": "2000000\n",
            f"{system}/cpu{core}/cpufreq/cpuinfo_min_freq": "2000000\n",
            f"{system}/cpu{core}/cache/index2/level": "2\n",
            f"{system}/cpu{core}/cache/index2/size": f"{KIBIBYTES_L2}K\n",
            f"{system}/cpu{core}/cache/index2/shared_cpu_list": every,
        }
    return files


def _core(cpu: Cpu, core: int) -> str:
    return (
        f"processor\t: {core}\n"
        "BogoMIPS\t: 100.00\n"
        f"Features\t: {' '.join(cpu.features)}\n"
        f"CPU implementer\t: {cpu.implementer:#04x}\n"
        "CPU architecture: 8\n"
        f"CPU variant\t: {cpu.variant:#x}\n"
        f"CPU part\t: {cpu.part:#05x}\n"
        f"CPU revision\t: {cpu.revision}\n\n"
    )
