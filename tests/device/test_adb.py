"""The adb device: the real client, against a fake device and Debian's real adbd (see fake_adbd.py, real_adbd.py)."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from helpers import device_contract
from helpers.device_phones import QUICK, StartFake, StartPhone, adb, connect, image, server, start_fake, start_phone  # noqa: F401
from helpers.fake_adbd import FakeAdbd
from qatflow.base.errors import UserError
from qatflow.device.adb.device import AdbDevice
from qatflow.device.adb.errors import KNOWN
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.run.registry import open_device
from qatflow.device.shell.trouble import trouble


def wait_until_back(fake: FakeAdbd) -> None:
    """Wait until adb's server has found the device again."""
    for _ in range(50):
        if any(line.split() == [fake.serial, "device"] for line in adb_devices().splitlines()):
            return
        time.sleep(0.1)


def adb_devices() -> str:
    return adb(os.environ["ADB_SERVER_SOCKET"], "devices")


def test_serial_is_required() -> None:
    with pytest.raises(UserError, match=r"device\.serial is missing"), open_device(DeviceSettings("adb", "phone")):
        pass


def test_missing_client_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get install adb"):
        AdbDevice(DeviceSettings("adb", "phone", serial="X"))


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", "unlock the device"),
        ("error: device offline", "unplug and replug"),
        ("adb: error: failed to copy 'a' to 'b': remote write failed: No space left on device", "free some space"),
        ("adb: error: failed to get feature set: no devices/emulators found", "enable USB debugging"),
        ("adb: error: failed to copy 'a' to 'b': couldn't read from device", "check the cable"),
        ("adb: error: connect failed: closed", "check the cable"),
        ("ADB server didn't ACK\n* failed to start daemon", "another program uses adb's port"),
    ],
)
def test_known_messages_come_with_advice(said: str, advice: str) -> None:
    told = trouble(said, KNOWN).text
    assert advice in told and "\n" not in told


def test_unknown_messages_are_passed_on() -> None:
    told = trouble("* daemon not running; starting now\n\nsh: foo: inaccessible or not found", KNOWN)
    assert told.text == "sh: foo: inaccessible or not found"


@pytest.mark.device
def test_describes_the_phone(start_phone: StartPhone) -> None:  # noqa: F811
    device = connect(start_phone())
    description = device.describe()
    device.cleanup()
    assert (description.model, description.system) == ("qatflow Phone", "Android 11")


@pytest.mark.device
@pytest.mark.parametrize(("abi", "machine"), [("x86_64,arm64-v8a", "aarch64"), ("x86_64", "x86_64")])
def test_android_virtual_devices_of_both_kinds(
    start_fake: StartFake, tmp_path: Path, abi: str, machine: str  # noqa: F811
) -> None:  # fmt: skip
    fake = start_fake(abi)
    fake.environment["VIRTUAL"] = "1"
    device = connect(fake)
    assert device.describe().emulated  # and so are its times
    assert device.describe().machine == machine
    if machine == "x86_64":
        device.push(Path(shutil.which("true") or "/bin/true"), "true")


@pytest.mark.device
def test_a_board_has_no_android_properties_but_gnu_tools(start_fake: StartFake, tmp_path: Path) -> None:  # noqa: F811
    device = connect(start_fake(""))
    described = device.describe()
    assert described.machine == os.uname().machine and described.system.startswith("Linux ")
    (tmp_path / "sent").write_text("x")
    for _ in range(2):
        device.push(tmp_path / "sent", r"back\slash")  # GNU's sha256sum writes names with one in another way
        device.pull(r"back\slash", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "x"


@pytest.mark.device
def test_only_what_is_named_as_a_runs_folder_is_ever_removed(start_fake: StartFake) -> None:  # noqa: F811
    fake = start_fake()
    over = "0123456789ab-1-2-3-4"  # of 1970
    for name in (over, f"qatflow-run-x {over}", f"qatflow-run-{over}", f"qatflow-run-{over} "):
        (fake.home / name).mkdir()
    device = connect(fake)
    device.cleanup()
    assert fake.names() == sorted([over, f"qatflow-run-x {over}", f"qatflow-run-{over} "])


@pytest.mark.device
def test_devices_before_android_7(start_fake: StartFake, tmp_path: Path) -> None:  # noqa: F811
    fake = start_fake(shell_v2=False)  # adb's own exit status is always 0 there, lines end in CR LF
    device = connect(fake)
    device_contract.check_files(device, tmp_path)
    answer = device.run(["sh", "-c", "echo a; exit 7"], timeout=10)
    assert (answer.status, answer.stdout) == (7, "a\n")
    device.cleanup()
    assert fake.names() == []


@pytest.mark.device
def test_the_same_file_is_sent_once_for_several_runs_when_kept(
    start_fake: StartFake, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    fake = start_fake()
    (tmp_path / "file").write_bytes(b"x" * 1000)
    for _ in range(3):
        device = connect(fake, keep=True)
        device.push(tmp_path / "file", "lib/file")
        device.pull("lib/file", tmp_path / "back")
        with pytest.raises(DeviceError, match="output"):  # what an earlier run wrote is not taken for this one's
            device.pull("output", tmp_path / "back")
        device.run(["sh", "-c", "echo old > output"], timeout=10)
        device.cleanup()
    assert len(fake.received) == 1
    (folder,) = fake.home.iterdir()
    assert sorted(path.name for path in folder.rglob("*")) == ["file", "lib", "output"]

    first, second = connect(fake), connect(fake)  # both want it: one gets it
    for device in (first, second):
        device.push(tmp_path / "file", "lib/file")
        device.run(["cat", "lib/file"], timeout=10)
    assert len(fake.received) == 2
    first.cleanup()
    second.cleanup()
    assert fake.names() == []


@pytest.mark.device
@pytest.mark.parametrize("fault", ["lose_in_push", "damage"])
def test_push_is_tried_again(
    start_fake: StartFake, tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: str  # noqa: F811
) -> None:  # fmt: skip
    fake = start_fake()
    device = connect(fake)
    (tmp_path / "file").write_bytes(os.urandom(500_000))
    setattr(fake.faults, fault, 1)
    device.push(tmp_path / "file", "file")
    (folder,) = fake.home.iterdir()
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_bytes() == (tmp_path / "file").read_bytes()
    assert "trying again in 0.2 s" in capfd.readouterr().err


@pytest.mark.device
@pytest.mark.parametrize("fault", ["lose_in_push", "damage"])
def test_push_that_never_succeeds_leaves_nothing(
    start_fake: StartFake, tmp_path: Path, fault: str  # noqa: F811
) -> None:  # fmt: skip
    fake = start_fake()
    device = connect(fake, waits=QUICK if fault == "lose_in_push" else (0, 0))
    (tmp_path / "file").write_bytes(os.urandom(500_000))
    setattr(fake.faults, fault, 99)
    with pytest.raises(DeviceError, match=r"(went away|arrived damaged).*: check the cable and run again"):
        device.push(tmp_path / "file", "file")
    setattr(fake.faults, fault, 0)
    wait_until_back(fake)
    connect(fake).cleanup()
    device.cleanup()
    assert fake.names() == []


@pytest.mark.device
def test_pull_that_never_succeeds_leaves_the_old_file(start_fake: StartFake, tmp_path: Path) -> None:  # noqa: F811
    fake = start_fake()
    device = connect(fake, waits=(0, 0))
    (tmp_path / "sent").write_text("new")
    (tmp_path / "back").write_text("old")
    device.push(tmp_path / "sent", "file")
    fake.faults.damage_pulled = 1
    device.pull("file", tmp_path / "back again")
    assert (tmp_path / "back again").read_text() == "new"
    fake.faults.damage_pulled = 99
    with pytest.raises(DeviceError, match="file arrived damaged"):
        device.pull("file", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["back", "back again", "sent"]


@pytest.mark.device
def test_command_is_started_anew_when_the_device_comes_back(start_fake: StartFake) -> None:  # noqa: F811
    fake = start_fake(lose_in_run=2)
    answer = connect(fake).run(["sh", "-c", "sleep 0; echo whole; exit 5"], timeout=10)
    assert (answer.status, answer.stdout) == (5, "whole\n")


@pytest.mark.device
def test_device_lost_for_good_during_a_command_is_told(start_phone: StartPhone) -> None:  # noqa: F811
    phone = start_phone(size="8m")
    device = connect(phone)
    timer = threading.Timer(1, phone.stop)
    timer.start()
    with pytest.raises(DeviceError, match=r"went away while a command ran|offline|refused|not connected"):
        device.run(["sleep", "30"], timeout=20)
    timer.join()
    with pytest.raises(DeviceError):
        device.cleanup()


@pytest.mark.device
def test_time_limit_ends_the_command_there_too(start_phone: StartPhone) -> None:  # noqa: F811
    device = connect(start_phone())
    with pytest.raises(DeviceError, match="no answer to `adb shell` within 1 s"):
        device.run(["sleep", "4321"], timeout=1)
    assert "4321" not in device.run(["ps"], timeout=30).stdout
    device.cleanup()
