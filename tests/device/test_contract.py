"""What every device must do, whatever its kind: the same tests over the emulator, over adb and over ssh."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from helpers import device_boards, device_contract
from helpers.device_boards import board_image, known_hosts, start_board  # noqa: F401
from helpers.device_fixtures import arm_bundle, arm_runtime, host_bundle, require  # noqa: F401
from helpers.device_phones import PHONE_FREQUENCY, StartPhone, image, names_on, server, start_phone  # noqa: F401
from helpers.device_programs import behave  # noqa: F401
from qatflow.base.errors import UserError
from qatflow.device.interface import CpuFrequency, Device, DeviceError, DeviceSettings
from qatflow.device.run.registry import open_device

pytestmark = pytest.mark.device


@dataclass(frozen=True)
class Kind:
    """A kind of device under test.

    Attributes:
        settings: of a device of this kind.
        left: names of what lies where runs have their folders.
    """

    settings: DeviceSettings
    left: Callable[[], list[str]]


@pytest.fixture(params=["emulator", "adb", "ssh", "ssh by tcsh", "ssh by fish"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    if request.param == "emulator":
        require("qemu-aarch64-static")
        room = tmp_path / "room"
        room.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(room))
        yield Kind(DeviceSettings("emulator", "test"), lambda: sorted(path.name for path in room.iterdir()))
        return
    if request.param.startswith("ssh"):
        shell = request.param.partition(" by ")[2]
        board = request.getfixturevalue("start_board")(**({"shell": shell} if shell else {}))
        own = {".config", ".local"} if shell == "fish" else set()  # which fish makes for itself
        yield Kind(device_boards.settings_of(board), lambda: sorted({*device_boards.names_on(board)} - own))
        return
    address = request.getfixturevalue("server")
    phone = request.getfixturevalue("start_phone")()
    yield Kind(DeviceSettings("adb", "test", serial=phone.serial), lambda: names_on(phone, address))


@pytest.fixture
def device(kind: Kind, behave: Path) -> Iterator[Device]:  # noqa: F811
    with open_device(kind.settings) as opened:
        opened.push(behave, "behave")
        yield opened
    assert kind.left() == []


def test_tells_what_it_is(device: Device, kind: Kind) -> None:
    told = device.describe()
    assert (told.type, told.name, told.machine) == (kind.settings.type, "test", "aarch64")
    if kind.settings.type == "emulator":
        assert (told.abis, told.governor, told.frequency, device.temperatures()) == ((), None, None, {})
    else:
        assert (told.abis, told.governor) == (("arm64-v8a",) if kind.settings.type == "adb" else (), "schedutil")
        assert told.frequency == (CpuFrequency(**PHONE_FREQUENCY),)
        assert device.temperatures() == {"cpu-0-0": 41.5}
    assert told.emulated == (kind.settings.type == "emulator") and "asimddp" in told.features and told.cores >= 1


def test_files_come_back_as_they_went(device: Device, tmp_path: Path) -> None:
    device_contract.check_files(device, tmp_path)


def test_exit_status_and_both_streams_come_back(device: Device) -> None:
    for status in (0, 1, 42, 126, 255):
        answer = device.run(["./behave", "exit", str(status)], timeout=30)
        assert (answer.status, answer.stdout, answer.stderr) == (status, "a b\n", "oops\n")


def test_signals_come_back_as_a_shell_tells_them(device: Device) -> None:
    for ending, signal in {"illegal": 4, "abort": 6, "crash": 11}.items():
        assert device.run(["./behave", ending], timeout=30).status == 128 + signal


def test_commands_end_within_their_time(device: Device) -> None:
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"within 1 s.*: "):
        device.run(["./behave", "sleep", "300"], timeout=1)
    assert time.monotonic() - start < 300, "it did not wait for the command's end"


def test_instructions_are_counted_where_times_mean_nothing(device: Device) -> None:
    counts = [device.count_instructions(["./behave", "exit", "0"], 30) for _ in range(2)]
    assert counts[0] == counts[1]
    assert (counts[0] or 0) > 1000 if device.describe().emulated else counts[0] is None
    calls = device.system_calls(["./behave", "exit", "0"], 30)
    assert (calls is None) is (counts[0] is None)
    if calls is not None and counts[0] is not None:
        assert calls[-1].name == "exit_group" and 0 < calls[-1].instructions <= counts[0]


def test_the_same_file_is_not_sent_again(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one")
    inodes = []
    for content in (b"one", b"one", b"two"):
        (tmp_path / "file").write_bytes(content)
        device.push(tmp_path / "file", "folder/file")
        inodes.append(device.run(["./behave", "inode", "folder/file"], timeout=30).stdout.split()[0])
    assert inodes[0] == inodes[1] != inodes[2]
    device.pull("folder/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"two"


def test_programs_stay_programs(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"#!")
    for mode in (0o644, 0o755, 0o644):
        (tmp_path / "file").chmod(mode)
        device.push(tmp_path / "file", "file")
        assert device.run(["./behave", "inode", "file"], timeout=30).stdout.split()[1] == f"{mode:o}"


def test_program_for_another_processor_is_not_put_there(device: Device, tmp_path: Path) -> None:
    program = Path(shutil.which("true") or "/bin/true")
    with pytest.raises(UserError, match=r"is for x86_64, device test runs aarch64 programs: build it for another"):
        device.push(program, "true")
    with pytest.raises(DeviceError, match="true"):
        device.pull("true", tmp_path / "back")


def test_two_at_once_do_not_touch_each_other(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with open_device(kind.settings) as first:
        with open_device(kind.settings) as second:
            first.push(tmp_path / "file", "file")
            with pytest.raises(DeviceError):
                second.pull("file", tmp_path / "back")
            assert len(kind.left()) == 2
        first.pull("file", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "x" and kind.left() == []


def test_a_failure_inside_is_cleaned_up_after(kind: Kind) -> None:
    with pytest.raises(ZeroDivisionError), open_device(kind.settings):
        assert len(kind.left()) == 1
        raise ZeroDivisionError
    assert kind.left() == []


def test_is_kept_when_asked(kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    settings = replace(kind.settings, keep=True)
    with open_device(settings) as device:
        device.push(tmp_path / "file", "file")
    (name,) = kind.left()
    assert name in capsys.readouterr().err
    if kind.settings.type != "emulator":  # the next run takes over what was kept, and removes it
        with open_device(kind.settings):
            assert len(kind.left()) == 1
        assert kind.left() == []


def test_missing_local_file_puts_nothing_there(device: Device, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere"):
        device.push(tmp_path / "nowhere", "file")


def test_demo_agrees_with_the_host(device: Device, arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    device_contract.check_demo(device, arm_bundle, tmp_path)


def test_random_names_and_contents_come_back(device: Device, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name in ("it's", 'a "b"', "$HOME", "ä/ö", "-x", r"back\slash", "new\nline"):
        (tmp_path / "sent").write_bytes(rng.bytes(1000))
        device.push(tmp_path / "sent", name)
        device.pull(name, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()
