"""What the records of trained models say of the processor."""

import platform
from pathlib import Path

import pytest

from qatflow.base import processor as module
from qatflow.base.processor import FEATURES, processor

X86 = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu vme sse4_1 avx512f f16c avx avx2 fma amx_tile amx_int8 nonstop_tsc
bugs\t\t: spectre_v1

processor\t: 1
model name\t: another
flags\t\t: sse4_2
"""
ARM = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd0b

processor\t: 1
CPU part\t: 0xd0c
"""


@pytest.mark.parametrize(
    ("text", "model", "features"),
    [
        (
            X86,
            "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
            ["sse4_1", "avx", "f16c", "fma", "avx2", "avx512f", "amx_tile", "amx_int8"],
        ),
        (ARM, "implementer 0x41, part 0xd0b", ["asimd", "asimdhp", "asimddp"]),
        ("", None, []),
        (None, None, []),
    ],
)
def test_name_and_features_are_those_of_proc_cpuinfo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, model: str | None, features: list[str]
) -> None:
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    for name in module.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert processor() == {
        "machine": platform.machine(), "model": model, "features": features, "limits": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    }  # fmt: skip


def test_another_system_s_name_of_a_processor_is_linux_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")  # as macOS says
    assert processor()["machine"] == "aarch64"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="features of x86_64 and aarch64 are known")
def test_this_machine_s_are_found() -> None:
    words = Path("/proc/cpuinfo").read_text().split()
    assert processor()["features"] == [name for name in FEATURES if name in words]
    assert {"x86_64": "sse4_1", "aarch64": "asimd"}[platform.machine()] in FEATURES
