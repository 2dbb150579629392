"""The adb device: the real client, against Debian's real adbd in namespaces of its own (see real_adbd.py)."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import device_contract
from device_fixtures import arm_bundle, arm_runtime, host_bundle, require  # noqa: F401
from qatflow.device.adb import HOME, AdbDevice
from qatflow.device.adb_errors import explain
from qatflow.device.bundle import open_bundle
from qatflow.device.cpus import find_cpu
from qatflow.device.demo import Demo
from qatflow.device.interface import DeviceError, DeviceSettings
from qatflow.device.registry import open_device
from qatflow.device.sysroot import write_sysroot
from qatflow.errors import UserError
from real_adbd import Phone, Unavailable, make_image

StartPhone = Callable[..., Phone]


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
        ("error: device offline", "unplug and plug"),
        ("adb: error: failed to copy 'a' to 'b': remote write failed: No space left on device", "free some space"),
        ("adb: error: failed to get feature set: no devices/emulators found", "enable USB debugging"),
        ("adb: error: failed to copy 'a' to 'b': couldn't read from device", "check the cable"),
    ],
)
def test_known_messages_come_with_advice(said: str, advice: str) -> None:
    assert advice in explain(said) and "\n" not in explain(said)


def test_unknown_messages_are_passed_on() -> None:
    assert explain("* daemon not running; starting now\n\nsh: foo: inaccessible or not found") == (
        "sh: foo: inaccessible or not found"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adb server of the tests' own: own socket, own keys, no USB."""
    require("adb")
    folder = tmp_path_factory.mktemp("adb")
    address = f"localfilesystem:{folder}/socket"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("ADB_USB", "0")
        patch.setenv("ADB_MDNS", "0")
        patch.delenv("ANDROID_SERIAL", raising=False)
        yield address
        subprocess.run(["adb", "-L", address, "kill-server"], capture_output=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def image(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    try:
        return make_image(pytestconfig.cache.mkdir("adbd"))
    except (Unavailable, subprocess.TimeoutExpired) as reason:
        pytest.skip(f"Debian's adbd cannot be had: {reason}")


@pytest.fixture
def start_phone(server: str, image: Path, tmp_path: Path) -> Iterator[StartPhone]:
    phones: list[Phone] = []
    write_sysroot(tmp_path / "sysroot", find_cpu("cortex-a76"))

    def start(**options: str) -> Phone:
        try:
            phone = Phone(image, tmp_path / f"phone{len(phones)}", tmp_path / "sysroot", **options)
        except Unavailable as reason:
            pytest.skip(f"the phone cannot start: {reason}")
        phones.append(phone)
        command = ["adb", "-L", server, "connect", phone.serial]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert "connected to" in answer.stdout
        return phone

    yield start
    for phone in phones:
        subprocess.run(["adb", "-L", server, "disconnect", phone.serial], capture_output=True, timeout=30, check=False)
        phone.stop()


def connect(phone: Phone, server: str, **limits: float) -> AdbDevice:
    return AdbDevice(DeviceSettings("adb", "phone", serial=phone.serial), server=server, **limits)  # type: ignore[arg-type]


@pytest.mark.device
def test_describes_the_phone(start_phone: StartPhone, server: str) -> None:
    description = connect(start_phone(), server).describe()
    assert (description.type, description.name, description.machine) == ("adb", "phone", "aarch64")
    assert (description.model, description.system) == ("qatflow Phone", "Android 11")
    assert "asimddp" in description.features and not description.emulated


@pytest.mark.device
def test_files_come_back_as_they_went(start_phone: StartPhone, server: str, tmp_path: Path) -> None:
    device_contract.check_files(connect(start_phone(), server), tmp_path)


@pytest.mark.device
def test_demo_agrees_with_the_host(
    start_phone: StartPhone, server: str, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    device_contract.check_demo(connect(start_phone(), server), arm_bundle, tmp_path)


@pytest.mark.device
@pytest.mark.parametrize("status", [0, 1, 42, 126, 255])
def test_exit_status_and_both_streams_come_back(start_phone: StartPhone, server: str, status: int) -> None:
    device = connect(start_phone(), server)
    answer = device.run(["sh", "-c", f"echo 'a b'; echo oops >&2; exit {status}"], timeout=30)
    assert (answer.status, answer.stdout, answer.stderr) == (status, "a b\n", "oops\n")


@pytest.mark.device
def test_cleanup_leaves_nothing(start_phone: StartPhone, server: str, tmp_path: Path) -> None:
    phone = start_phone()
    first, second = connect(phone, server), connect(phone, server)
    (tmp_path / "file").write_text("x")
    first.push(tmp_path / "file", "folder/file")
    second.push(tmp_path / "file", "file")
    first.cleanup()
    assert second.run(["cat", "file"], timeout=30).stdout == "x"  # two runs at once do not touch each other
    assert len(second.run(["ls", HOME], timeout=30).stdout.split()) == 1
    second.cleanup()
    assert connect(phone, server).run(["ls", HOME], timeout=30).stdout.count("qatflow-") == 1


@pytest.mark.device
def test_opens_through_the_table_and_cleans_up_after_a_failure(
    start_phone: StartPhone, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = start_phone()
    monkeypatch.setenv("ADB_SERVER_SOCKET", server)
    with pytest.raises(ZeroDivisionError), open_device(DeviceSettings("adb", "phone", serial=phone.serial)) as device:
        assert device.run(["ls", HOME], timeout=30).stdout.count("qatflow-") == 1
        raise ZeroDivisionError
    assert connect(phone, server).run(["ls", HOME], timeout=30).stdout.count("qatflow-") == 1  # its own only


@pytest.mark.device
def test_device_lost_during_a_command_is_told(start_phone: StartPhone, server: str) -> None:
    phone = start_phone()
    device = connect(phone, server)
    timer = threading.Timer(1, phone.stop)
    timer.start()
    with pytest.raises(DeviceError, match="went away while a command ran"):
        device.run(["sleep", "30"], timeout=20)
    timer.join()
    with pytest.raises(DeviceError, match=r"offline|not found"):
        device.describe()


@pytest.mark.device
def test_silent_device_ends_in_a_time_limit(start_phone: StartPhone, server: str) -> None:
    device = connect(start_phone(), server, answer=10)
    start = time.monotonic()
    with pytest.raises(DeviceError, match="no answer to `adb shell` within 1 s"):
        device.run(["sleep", "30"], timeout=1)
    assert time.monotonic() - start < 10


@pytest.mark.device
def test_unknown_serial_is_told(start_phone: StartPhone, server: str) -> None:
    start_phone()
    with pytest.raises(DeviceError, match=r"device nobody: .*not found.*check device\.serial"):
        AdbDevice(DeviceSettings("adb", "phone", serial="nobody"), server=server)


@pytest.mark.device
def test_full_device_is_told_and_keeps_no_part(start_phone: StartPhone, server: str, tmp_path: Path) -> None:
    device = connect(start_phone(size="1m"), server)
    (tmp_path / "large").write_bytes(os.urandom(3_000_000))
    with pytest.raises(DeviceError, match="No space left on device: free some space"):
        device.push(tmp_path / "large", "large")
    assert device.run(["ls", "-A"], timeout=30).stdout == ""


@pytest.mark.device
def test_noexec_folder_is_told(
    start_phone: StartPhone, server: str, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    device = connect(start_phone(options=",noexec"), server)
    demo = Demo(device, open_bundle(arm_bundle))
    with pytest.raises(DeviceError, match="status 126: it could not be started there; is the folder mounted noexec"):
        demo.all_ones("model", threads=1, warmup=0, repeats=1)


@pytest.mark.device
def test_program_for_another_processor_is_refused(
    start_phone: StartPhone, server: str, host_bundle: Path  # noqa: F811
) -> None:  # fmt: skip
    device = connect(start_phone(), server)
    with pytest.raises(UserError, match="is for x86_64, device phone runs aarch64 programs"):
        Demo(device, open_bundle(host_bundle))
