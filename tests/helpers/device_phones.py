"""Fixtures for the tests of the adb side: a private adb server, real phones in namespaces, fake ones."""

import itertools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.device_fixtures import require
from helpers.fake_adbd import FakeAdbd, Faults
from helpers.real_adbd import Phone, Unavailable, make_image
from qatflow.base.emulated_cpus import find_cpu
from qatflow.device.adb.device import AdbDevice
from qatflow.device.emulator.sysroot import write_sysroot
from qatflow.device.interface import DeviceSettings

StartPhone = Callable[..., Phone]
StartFake = Callable[..., FakeAdbd]
PHONE_FREQUENCY: dict[str, Any] = {
    "cores": "0 1 2 3", "governor": "schedutil", "min_khz": 300000, "max_khz": 1800000, "hardware_max_khz": 2400000,
}  # fmt: skip
POLICY = "sys/devices/system/cpu/cpufreq/policy0"
# Files of a phone's kernel, as its shell may read them.
CONDITIONS = {
    f"{POLICY}/related_cpus": "0 1 2 3\n",
    f"{POLICY}/scaling_governor": "schedutil\n",
    f"{POLICY}/scaling_min_freq": "300000\n",
    f"{POLICY}/scaling_max_freq": "1800000\n",
    f"{POLICY}/cpuinfo_max_freq": "2400000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-0-0\n",
    "sys/class/thermal/thermal_zone0/temp": "41500\n",
    "sys/class/thermal/thermal_zone1/type": "switched-off\n",
    "sys/class/thermal/thermal_zone1/temp": "-273000\n",
}
QUICK = (0.2, 0.4, 0.8, 0.8)  # seconds before further attempts: adb's server comes back to a device after about one


def adb(server: str, *arguments: str) -> str:
    """Run a command of the tests' own adb server and return what it prints."""
    command = ["adb", "-L", server, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


def write_conditions(sysroot: Path) -> None:
    """Write the files from which programs learn the CPU, its frequency and the temperature."""
    write_sysroot(sysroot, find_cpu("cortex-a76"))
    for name, text in CONDITIONS.items():
        (sysroot / name).parent.mkdir(parents=True, exist_ok=True)
        (sysroot / name).write_text(text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An adb server of the tests' own: own socket, own keys, no USB. Programs started by the tests find it, too."""
    require("adb")
    folder = tmp_path_factory.mktemp("adb")
    address = f"localfilesystem:{folder}/socket"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("ADB_USB", "0")
        patch.setenv("ADB_MDNS", "0")
        patch.setenv("ADB_SERVER_SOCKET", address)
        patch.delenv("ANDROID_SERIAL", raising=False)
        yield address
        adb(address, "kill-server")


@pytest.fixture(scope="module")
def image(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    try:
        return make_image(pytestconfig.cache.mkdir("adbd"))
    except (Unavailable, subprocess.TimeoutExpired) as reason:
        pytest.skip(f"Debian's adbd cannot be had: {reason}")


@pytest.fixture(scope="module")
def start_phone(server: str, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPhone]:
    """Start a real adbd, connected to the server; with the same options the one that runs already is taken."""
    folder = tmp_path_factory.mktemp("phones")
    phones: list[Phone] = []
    number = itertools.count()
    write_conditions(folder / "sysroot")

    def start(**options: str) -> Phone:
        for phone in phones:
            if phone.options == options and phone.runs():
                return phone
        try:
            phone = Phone(image, folder / f"phone{next(number)}", folder / "sysroot", **options)
        except Unavailable as reason:
            pytest.skip(f"the phone cannot start: {reason}")
        phones.append(phone)
        told = adb(server, "connect", phone.serial)
        if not phone.runs():
            pytest.skip(f"the phone cannot start: {phone.why_not()}")
        assert "connected to" in told
        return phone

    yield start
    for phone in phones:
        phone.stop()


@pytest.fixture
def start_fake(server: str, tmp_path: Path) -> Iterator[StartFake]:
    """Start a fake device; `AdbDevice` connects to it by itself."""
    fakes: list[FakeAdbd] = []

    def start(abi: str = "arm64-v8a", **faults: object) -> FakeAdbd:
        fakes.append(FakeAdbd(tmp_path / f"fake{len(fakes)}", abi, Faults(**faults)))  # type: ignore[arg-type]
        return fakes[-1]

    yield start
    for fake in fakes:
        adb(server, "disconnect", fake.serial)
        fake.stop()


def connect(
    phone: Phone | FakeAdbd, *, answer: float = 20, keep: bool = False, waits: Sequence[float] = QUICK
) -> AdbDevice:
    settings = DeviceSettings("adb", "phone", serial=phone.serial, keep=keep)
    return AdbDevice(settings, answer=answer, waits=waits)


def names_on(phone: Phone, server: str, folder: str = "") -> list[str]:
    """What lies in a folder below /data/local/tmp of a phone."""
    return sorted(adb(server, "-s", phone.serial, "shell", f"ls -A /data/local/tmp/{folder}").split())
