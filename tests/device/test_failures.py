"""Each way in which a device fails: one message that says what happened and what to do, a status, and nothing left.

The whole program runs (run_demo.py), with the real adb client against a fake device, or against Debian's real adbd.
"""

import contextlib
import importlib.util
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import device_boards
from helpers.device_boards import board_image, known_hosts, start_board  # noqa: F401
from helpers.device_fixtures import ROOT, require
from helpers.device_phones import (  # noqa: F401
    QUICK,
    StartFake,
    StartPhone,
    adb,
    image,
    names_on,
    server,
    start_fake,
    start_phone,
)
from helpers.device_programs import make_demo  # noqa: F401
from helpers.little_space import run_on_small_disk
from helpers.section_options import option
from helpers.small_data import prepared_digits
from helpers.tiny_model import write_model
from qatflow.base.cli import entry
from qatflow.device.endings import explain_ending
from qatflow.device.interface import Completed

pytestmark = pytest.mark.device
SCRIPT = ROOT / "workflow" / "scripts" / "run_demo.py"
MakeDemo = Callable[..., Path]
Fails = Callable[..., str]
Section = dict[str, Any]
"""What the section `device` says of a device."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "data"
    prepared_digits(folder)
    return folder / "manifest.json"


@pytest.fixture
def flags(manifest: Path, make_demo: MakeDemo, tmp_path: Path) -> Callable[..., list[str]]:  # noqa: F811
    def make(device: str | Section, demo: str = "text only", linked: bool = False) -> list[str]:
        section = {"type": "adb", "serial": device or None} if isinstance(device, str) else device
        return [
            *option("device", name="device", pictures=2, **section),
            *(f"--model-dir={write_model(tmp_path / 'model')}", f"--manifest={manifest}"),
            f"--float-dir={write_model(tmp_path / 'float', form='float')}",
            *(f"--library={make_demo(demo, linked)}", f"--output-dir={tmp_path / 'output'}"),
        ]

    return make


@pytest.fixture
def fails(
    flags: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Fails]:
    """Run the program; return its one message. What it leaves here is looked at, too."""
    found = importlib.util.spec_from_file_location("run_demo", SCRIPT)
    assert found is not None and found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    monkeypatch.setattr("qatflow.device.shell.retry.WAITS", QUICK)
    monkeypatch.setattr("qatflow.device.shell.device.ANSWER_SECONDS", 3.0)

    def run(device: str | Section, demo: str = "text only", linked: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["run_demo", *flags(device, demo, linked)])
        with pytest.raises(SystemExit) as ended:
            entry(script.main)
        told = capfd.readouterr()
        assert ended.value.code == 1 and told.out == ""
        (message,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in told.err
        assert not list(room.iterdir()) and not list((tmp_path / "output").glob("*"))
        return message

    yield run


# What adb alone sees: no device is needed for these.


def test_no_device(server: str, fails: Fails) -> None:  # noqa: F811
    assert fails("nobody") == (
        "error: device nobody: it is not connected (adb sees no device): connect the device, enable USB debugging, and "
        "check that `adb devices` lists it"
    )


def test_several_devices_and_another_serial(server: str, start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    serials = [start_fake().serial for _ in range(2)]
    for serial in serials:
        adb(server, "connect", serial)
    message = fails("nobody")
    assert all(f"{serial} (device)" in message for serial in serials) and message.endswith("check device.serial")
    assert "device.serial is missing" in fails("")  # never the one that happens to be there


def test_refused(server: str, fails: Fails) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serial = f"127.0.0.1:{listening.getsockname()[1]}"
    assert re.search("Connection refused: start the device's adb daemon, and check the address", fails(serial))


def test_hangs_before_it_is_connected(start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    message = fails(start_fake(silent=True).serial)
    assert "no answer to `adb connect` within 3 s: wake and unlock the device" in message


def test_offline(server: str, start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    fake = start_fake(silent=True)
    with pytest.raises(subprocess.TimeoutExpired):  # adb waits for ten seconds
        subprocess.run(["adb", "-L", server, "connect", fake.serial], capture_output=True, timeout=0.5, check=False)
    start = time.monotonic()
    assert "device offline: wait, or unplug and replug the cable" in fails(fake.serial)
    assert time.monotonic() - start > sum(QUICK)  # it could have come back


def test_unauthorized(start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    fake = start_fake(unauthorized=True)
    for _ in range(2):  # at the first look, and when adb knows already
        assert fails(fake.serial).endswith("unlock the device and allow USB debugging from this computer")


def test_server_that_is_none(fails: Fails, server: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{listening.getsockname()[1]}")
        assert "no answer to `adb get-state` within 3 s" in (message := fails("nobody"))
        assert "adb kill-server" in message


# What the protocol makes of a lost device, and of a full one.


def test_lost_in_push(start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    fake = start_fake(lose_in_push=99)
    assert "the device went away: check the cable and run again" in fails(fake.serial)
    assert not [name for name in fake.names() if name.endswith("mobilenetv1_light_api")]


def test_lost_in_run(start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    fake = start_fake(lose_in_run=99, lose_at="./mobilenetv1_light_api")
    assert "the device went away while a command ran there: check cable and power" in fails(fake.serial)


def test_hangs_in_push(start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    fake = start_fake(hang_in_push=True)
    assert re.search("no answer to `adb push` within [67] s: wake and unlock the device", fails(fake.serial))
    assert fake.names() == []


def test_recovery(start_fake: StartFake, fails: Fails, server: str) -> None:  # noqa: F811
    fake = start_fake(state="recovery")
    adb(server, "connect", fake.serial)
    assert "it is in the state 'recovery': start it as usual" in fails(fake.serial)


def test_room_that_ends_in_the_middle(start_fake: StartFake, fails: Fails) -> None:  # noqa: F811
    fake = start_fake(send_error="write failed: No space left on device")
    assert "No space left on device: free some space on the device" in fails(fake.serial)
    assert fake.names() == []


# What only a real device shows: its file systems, its processor, its shell.


def test_hangs(start_phone: StartPhone, fails: Fails) -> None:  # noqa: F811
    phone = start_phone(size="9m")
    phone.hang()
    assert "no answer to `adb shell` within 3 s: wake and unlock the device, or restart it" in fails(phone.serial)
    phone.stop()


def test_no_space(server: str, start_phone: StartPhone, fails: Fails) -> None:  # noqa: F811
    phone = start_phone(size="100k")
    assert re.search(r"needs \d\.\d MB and /data/local/tmp has 0\.1 MB free: free some space", fails(phone.serial))
    assert names_on(phone, server) == []


def test_read_only(server: str, start_phone: StartPhone, fails: Fails) -> None:  # noqa: F811
    phone = start_phone(mount="ro")
    assert re.search("Read-only file system: nothing can be written there: restart", fails(phone.serial))
    assert names_on(phone, server) == []


def test_noexec(server: str, start_phone: StartPhone, fails: Fails) -> None:  # noqa: F811
    phone = start_phone(mount="noexec")
    assert "/data/local/tmp is mounted noexec, so no program can be started there: use another" in fails(phone.serial)
    assert names_on(phone, server) == []


def test_wrong_abi(server: str, start_phone: StartPhone, fails: Fails) -> None:  # noqa: F811
    phone = start_phone(abi="armeabi-v7a,armeabi")
    assert "device device runs armeabi-v7a,armeabi programs, and the package ai-edge-litert has no library for" in (
        fails(phone.serial)
    )
    assert names_on(phone, server) == []


@pytest.fixture(params=["emulator", "adb", "ssh"])
def section(request: pytest.FixtureRequest) -> Iterator[Section]:
    """A device of each type; the phone and the board are empty afterwards."""
    require("qemu-aarch64-static")
    if request.param == "emulator":
        yield {"type": "emulator"}
    elif request.param == "ssh":
        board = request.getfixturevalue("start_board")()
        yield device_boards.section_of(board)
        assert device_boards.names_on(board) == []
    else:
        address, phone = request.getfixturevalue("server"), request.getfixturevalue("start_phone")()
        yield {"type": "adb", "serial": phone.serial}
        assert names_on(phone, address) == []


@pytest.mark.parametrize(
    ("demo", "said"),
    [
        ("illegal", r"ended with status 132: illegal instruction: .* choose another device\.cpu"),
        ("crash", r"ended with status 139: it crashed \(segmentation fault\): run it again with device\.keep"),
        ("rubbish", r"printed '.* rubbish' where its outputs were expected: .*build it again"),
        ("silent", "printed '' where its outputs were expected: .*build it again"),
        ("no numbers", r"printed 'Output\[x\]: banana' where its outputs were expected"),
        ("bad times", "wrote times that cannot be read"),
        ("text only", "timing.json"),
    ],
)
def test_demo_that_goes_wrong(section: Section, fails: Fails, demo: str, said: str) -> None:
    assert re.search(said, fails(section, demo))


def test_missing_loader(section: Section, fails: Fails) -> None:
    message = fails(section, "text only", True)
    assert "/lib/ld-linux-aarch64.so.1 is missing there: build the demo for a target that carries its own" in message


def test_terminated_run_is_cleaned_up_after(
    section: Section,
    flags: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setenv("TMPDIR", str(room))
    arguments = [sys.executable, str(SCRIPT), *flags(section, "endless")]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    its_own = next((section[key] for key in ("serial", "host") if key in section), str(room)).encode()
    until = time.monotonic() + 120
    while time.monotonic() < until and not any(
        its_own in line and b"mobilenetv1_light_api" in line and b"--model_dir" in line for line in command_lines()
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    assert not list(room.iterdir())


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def test_emulator_without_room(
    flags: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("qemu-aarch64-static")
    disk = tmp_path / "disk"
    monkeypatch.setenv("TMPDIR", str(disk))
    ran, left = run_on_small_disk(disk, 300, sys.executable, SCRIPT, *flags({"type": "emulator"}, "text only"))
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    (message,) = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(r"free some space there, or set TMPDIR|make room on its disk", message)
    assert left == set()


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (127, "sh: ./lib/ld-linux-aarch64.so.1: inaccessible or not found", "inaccessible or not found: .*build_demo"),
        (127, "./demo: No such file or directory", "No such file or directory: the program, its loader or a library"),
        (126, "sh: ./demo: can't execute: Permission denied", "Permission denied: .*mounted noexec"),
        (126, "sh: ./demo: not executable: 64-bit ELF file", "ELF file: .*for another processor"),
        (127, "./demo: error while loading shared libraries: libm.so.6: cannot open", r"^libm\.so\.6 is missing there"),
        (132, "Illegal instruction", r"device\.cpu"),
        (159, "Bad system call", "run it from `adb shell`"),
        (3, "demo: no model at 'x'", "^demo: no model at 'x'$"),
        (9, "", "^no message$"),
    ],
)
def test_endings_as_android_tells_them(status: int, said: str, told: str) -> None:
    assert re.search(told, explain_ending(Completed(status, "", f"{said}\n")))
