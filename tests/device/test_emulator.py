"""The emulator: its CPUs, its files, and the demo on it."""

import subprocess
from pathlib import Path

import pytest

from helpers import device_contract
from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from qatflow.base.emulated_cpus import CPUS
from qatflow.base.errors import UserError
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.registry import open_device

# Names of the bits of AT_HWCAP in the order of the kernel's arch/arm64/include/uapi/asm/hwcap.h.
HWCAP = (
    *("fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid"),
    *("asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512", "sve", "asimdfhm"),
    *("dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg"),
)
ASK_CPU = r"""
#include <stdio.h>
#include <sys/auxv.h>
int main(void) {
  unsigned long midr;
  __asm__("mrs %0, midr_el1" : "=r"(midr));
  printf("%lu %lu\n", getauxval(AT_HWCAP), midr);
  return 0;
}
"""


def settings(cpu: str = "cortex-a76") -> DeviceSettings:
    return DeviceSettings("emulator", "test", cpu=cpu)


def test_unknown_cpu_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'max'.*cortex-a53.*cortex-a76.*neoverse-n1"), open_device(settings("max")):
        pass


def test_unknown_kind_of_device_lists_the_known() -> None:
    with pytest.raises(UserError, match="'serial' is unknown; it can be: emulator, adb, ssh"):
        open_device(DeviceSettings("serial", "test")).__enter__()


def test_missing_qemu_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get install qemu-user-static"), open_device(settings()):
        pass


@pytest.fixture(scope="module")
def ask_cpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    folder = tmp_path_factory.mktemp("cpu")
    (folder / "ask.c").write_text(ASK_CPU)
    command = ["aarch64-linux-gnu-gcc", "-static", "-o", str(folder / "ask"), str(folder / "ask.c")]
    subprocess.run(command, check=True)
    return folder / "ask"


@pytest.mark.device
@pytest.mark.parametrize("name", CPUS)
def test_cpuinfo_is_what_qemu_imitates(ask_cpu: Path, name: str) -> None:
    with open_device(settings(name)) as device:
        device.push(ask_cpu, "ask")
        answer = device.run(["./ask"], timeout=30)
        hwcap, midr = map(int, answer.stdout.split())
        cpu = CPUS[name]
        assert {word for bit, word in enumerate(HWCAP) if hwcap >> bit & 1} == set(cpu.features)
        found = (midr >> 24, midr >> 20 & 0xF, midr >> 4 & 0xFFF, midr & 0xF)
        assert found == (cpu.implementer, cpu.variant, cpu.part, cpu.revision)


@pytest.mark.device
def test_programs_see_the_imitated_cpu_only(tmp_path: Path) -> None:
    require("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    (tmp_path / "show.c").write_text(
        '#include <stdio.h>\nint main(int n, char** v) { for (int i = 1; i < n; ++i) { FILE* f = fopen(v[i], "r");'
        "for (int c; f && (c = fgetc(f)) != EOF;) putchar(c); } return 42; }\n"
    )
    command = ["aarch64-linux-gnu-gcc", "-static", "-o", str(tmp_path / "show"), str(tmp_path / "show.c")]
    subprocess.run(command, check=True)
    with open_device(settings("cortex-a53")) as device:
        device.push(tmp_path / "show", "show")
        answer = device.run(["./show", "/proc/cpuinfo", "/sys/devices/system/cpu/possible"], timeout=30)
    assert answer.status == 42
    assert answer.stdout.count("CPU part\t: 0xd03") == 4 and "asimddp" not in answer.stdout
    assert answer.stdout.endswith("0-3\n")


@pytest.mark.device
@pytest.mark.parametrize("cpu", ["cortex-a53", "neoverse-n1"])
def test_demo_agrees_with_the_host(arm_bundle: Path, tmp_path: Path, cpu: str) -> None:  # noqa: F811
    require("qemu-aarch64-static")
    with open_device(settings(cpu)) as device:
        device_contract.check_demo(device, arm_bundle, tmp_path)
