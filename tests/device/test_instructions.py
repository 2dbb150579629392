"""Instructions executed in the emulator: against programs whose number is known, and of a model's inference."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.device_programs import behave  # noqa: F401
from helpers.tiny_model import SIZE, write_model
from qatflow.device.build.bundle import open_bundle
from qatflow.device.emulator import qemu_log
from qatflow.device.interface import Device, DeviceError, DeviceSettings, SystemCall
from qatflow.device.run.demo import Demo
from qatflow.device.run.instructions import count_instructions
from qatflow.device.run.operator_instructions import Stretch, matched, operator_instructions, stretches
from qatflow.device.run.registry import open_device

# 65,000 times round, every second time by a jump into the middle of the other way's block. No C library.
LOOP = """
        .global _start
_start: mov w0, #65000          // 1
loop:   tbz w0, #0, even        // 65,000
        nop                     // 32,500
even:   subs w0, w0, #1         // 65,000
        b.ne loop               // 65,000
        mov w8, #93             // 1
        svc #0                  // 1: exit(0)
"""
EXECUTED_BY_LOOP = 1 + 65_000 + 32_500 + 65_000 + 65_000 + 1 + 1
LISTED = b"""----------------
IN: main
0x0000005500000790:  d10043ff  sub      sp, sp, #0x10
0x0000005500000794:  b9000fff  str      wzr, [sp, #0xc]
0x0000005500000798:  14000004  b        #0x55000007a8

"""
TRACE = b"Trace 0: 0x7f0 [0000000000001001/0000005500000790/00000001/00000200] main\n"
STOPPED = b"Stopped execution of TB chain before 0x7f0 [0000005500000790] main\n"


@pytest.mark.parametrize(
    ("log", "count"),
    [(b"", 0), (LISTED, 0), (LISTED + TRACE, 3), (LISTED + 4 * TRACE, 12), (LISTED + TRACE + STOPPED + TRACE, 3)],
)
def test_each_execution_of_a_block_counts_its_instructions(log: bytes, count: int) -> None:
    assert qemu_log.count_executed(log.splitlines(keepends=True)) == count


def test_lines_are_whole_wherever_the_pipe_breaks_them() -> None:
    written = [b"Trace 0\n", b"\n", b"0x10\n" * 3, b"IN: ", b"\n0x", b"20", b"\nend without a line's end"]
    reading, writing = os.pipe()

    def write() -> None:
        for part in written:
            os.write(writing, part)
            time.sleep(0.005)  # several are read one by one
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb"):
        assert list(qemu_log.lines(reading)) == b"".join(written).splitlines(keepends=True)
    writer.join()


def test_a_log_that_does_not_list_its_blocks_is_refused() -> None:
    with pytest.raises(qemu_log.LogError, match="Trace 0: 0x7f0"):
        qemu_log.count_executed([TRACE])


@pytest.fixture
def emulator() -> Iterator[Device]:
    require("qemu-aarch64-static", "aarch64-linux-gnu-gcc")
    with open_device(DeviceSettings("emulator", "test")) as device:
        yield device


@pytest.mark.device
def test_a_loop_of_known_length_is_counted_to_the_instruction(emulator: Device, tmp_path: Path) -> None:
    (tmp_path / "loop.s").write_text(LOOP)
    command = ["aarch64-linux-gnu-gcc", "-nostdlib", "-static", "-o", str(tmp_path / "loop"), str(tmp_path / "loop.s")]
    subprocess.run(command, check=True)
    emulator.push(tmp_path / "loop", "loop")
    assert emulator.count_instructions(["./loop"], 60) == EXECUTED_BY_LOOP == 227_503


@pytest.mark.device
def test_failures_are_told_as_those_of_a_run_are(
    emulator: Device, behave: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    emulator.push(behave, "behave")
    with pytest.raises(DeviceError, match=r"^\./behave ended with status 7: oops$"):
        emulator.count_instructions(["./behave", "exit", "7"], 30)
    with pytest.raises(DeviceError, match=r"^\./behave ended with status 132: illegal instruction"):
        emulator.count_instructions(["./behave", "illegal"], 30)
    with pytest.raises(DeviceError, match=r"^\./behave did not end within 1 s in the emulator and was stopped"):
        emulator.count_instructions(["./behave", "sleep", "30"], 1)
    monkeypatch.setattr(qemu_log, "FLAGS", ("-d", "exec,nochain"))
    with pytest.raises(DeviceError, match=r"in an unknown format \(Trace 0.*install Debian's qemu-user"):
        emulator.count_instructions(["./behave", "exit", "0"], 30)


@pytest.mark.device
def test_an_inference_has_one_number_which_grows_with_the_model(
    emulator: Device, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    bundle = open_bundle(arm_bundle)
    demo = Demo(emulator, bundle)
    counts, alone = {}, {}
    for classes in (1000, 3000):
        model = write_model(tmp_path / f"{classes}", classes, form="float") / "model.tflite"
        demo.push_model({"model.tflite": model}, f"{classes}")
        counts[classes] = count_instructions(emulator, bundle, f"{classes}")
        assert counts[classes] == count_instructions(emulator, bundle, f"{classes}", runs=1)
        profile = operator_instructions(emulator, bundle, demo, f"{classes}", demo.profile(f"{classes}", 1, 0, 1))
        alone[classes] = [operator.instructions for operator in profile.operators]
    # 2,000 outputs more of 4 (SIZE / 2)² products each, of which an instruction does four at most, and a softmax more
    products = 2000 * 4 * (SIZE // 2) ** 2
    assert products / 4 < counts[3000] - counts[1000] < products
    # operator by operator it is the same, but for the call with its copies of input and output
    for classes in (1000, 3000):
        assert 0 < counts[classes] - sum(alone[classes]) < 10_000
    grown = [more - less for less, more in zip(alone[1000], alone[3000], strict=True)]
    assert sum(grown) == pytest.approx(counts[3000] - counts[1000], rel=0.02)
    kernels = [operator.kernel for operator in profile.operators]
    assert [number > 100 for number in grown] == [kernel.startswith(("Fully", "Softmax")) for kernel in kernels]


def test_stretches_between_readings_of_the_clock_leave_out_what_litert_notes_of_its_memory() -> None:
    """By hand: an operator of LiteRT itself, one of XNNPACK behind it, and one that asks for memory."""

    def reading(instructions: int, nanoseconds: int) -> SystemCall:
        time = f"{{tv_sec = 7,tv_nsec = {nanoseconds}}}"
        return SystemCall("clock_gettime", instructions, f"1 clock_gettime(CLOCK_MONOTONIC,0x50) = 0 ({time})")

    noted = [SystemCall(name, 100 + n, "") for n, name in enumerate(("getrusage", "openat", "read", "close"), 1)]
    calls = [reading(50, 1000), *noted, reading(204, 9000), reading(304, 12000), SystemCall("mmap", 350, ""),
             reading(404, 20500)]  # fmt: skip
    found = list(stretches(calls))
    assert found == [Stretch(8000, 100), Stretch(3000, 100), Stretch(8500, 100)]
    assert list(stretches([SystemCall("clock_gettime", 9, "1 clock_gettime(CLOCK_REALTIME,0x50) = 0 (…)")])) == []


def test_operators_are_known_only_where_their_times_leave_no_doubt() -> None:
    microseconds = (5, 90, 20, 41, 3, 20, 8, 4)
    found = [Stretch(1000 * time + 400, place) for place, time in enumerate(microseconds)]
    assert matched(found, [20, 41, 3]) == [2, 3, 4]
    assert matched(found, [20, 8]) == [5, 6], "the last run is the profiled one"
    assert matched(found, [41, 20]) == [3, 5]
    assert matched(found, [90, 3, 6]) is None
    assert matched(found, [3, 20, 4]) == [4, 5, 7]
    assert matched([*found, *found[6:]], [3, 20, 8, 4]) is None, "either of two"
    assert matched([found[0], found[6], *found[6:]], [8, 4]) is None, "the first, or what follows it"
