"""What adb's answers mean: mounts, free space, frequencies, temperatures; an adb that lies, or that a signal kills."""

import signal
from pathlib import Path

import pytest

from qatflow.device.adb.device import AdbDevice
from qatflow.device.interface import CpuFrequency, DeviceError, DeviceSettings
from qatflow.device.shell.answers import free_bytes, frequencies, mount_options, temperatures

TOYBOX = """Filesystem     1K-blocks     Used Available Use% Mounted on
/dev/block/dm-6  113212184 98765432  14446752  88% /data
"""
POSIX = "Filesystem 1024-blocks Used Available Capacity Mounted on\ntmpfs 65536 0 65536 0% /data/local/tmp\n"


@pytest.mark.parametrize(
    ("df", "free"), [(TOYBOX, 14446752 * 1024), (POSIX, 65536 * 1024), ("", None), ("df: not found", None)]
)
def test_free_space_is_read(df: str, free: int | None) -> None:
    assert free_bytes(df) == free


MOUNTS = """/dev/block/dm-0 / ext4 ro,seclabel 0 0
/dev/block/dm-6 /data f2fs rw,nosuid,nodev 0 0
/dev/fuse /data/local f2fs rw,noexec 0 0
/dev/block/sda /data/local/tm f2fs ro 0 0
"""


def test_options_are_those_of_the_innermost_and_last_mount() -> None:
    assert set(mount_options(MOUNTS, "/data/local/tmp")) == {"rw", "noexec"}
    assert "noexec" not in mount_options(MOUNTS, "/data/app")
    assert "noexec" not in mount_options(f"{MOUNTS}tmpfs /data/local tmpfs rw 0 0\n", "/data/local/tmp")
    assert not mount_options("", "/data/local/tmp")


# As a Samsung with Android 12 prints it, shortened.
THERMAL_SERVICE = """\
IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
	ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
	Temperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
	Temperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
	Temperature{mValue=-99.9, mType=6, mName=PA, mStatus=0}
	Temperature{mValue=23.8, mType=2, mName=BAT, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=2, mName=TYPE_CPU}
Temperature static thresholds from HAL:
	Temperature{mValue=70.0, mType=0, mName=NOT, mStatus=0}
"""


def test_kernel_sensors_are_read_in_degrees() -> None:
    text = "zone=cpu-0-0|41500\nzone=cpu-0-0|42500\nzone=battery|31\nzone=off|-273000\nzone=dark|0\nzone=broken|\n"
    assert temperatures(text) == {"cpu-0-0": 41.5, "cpu-0-0 #2": 42.5, "battery": 31.0}


def test_what_the_thermal_service_tells_now_is_read_and_nothing_else_of_it() -> None:
    assert temperatures(THERMAL_SERVICE) == {"AP": 25.6, "BAT": 23.8}


def test_nothing_readable_is_nothing() -> None:
    assert temperatures("") == temperatures("Can't find service: thermalservice\n") == {}
    assert frequencies("cores=8\nfeatures=\n") is None


def test_frequency_limits_are_read_with_gaps() -> None:
    text = "cores=8\nfrequency=0 1 2 3|schedutil|300000|1804800|1804800\nfrequency=4 5||||2400000\nfeatures=\n"
    assert frequencies(text) == (
        CpuFrequency("0 1 2 3", "schedutil", 300000, 1804800, 1804800),
        CpuFrequency("4 5", None, None, None, 2400000),
    )


# Answers get-state as a connected device does, and each script of the shell with the text and status that are given.
ADB = """#!/bin/bash
for word in "$@"; do [ "$word" = get-state ] && { echo device; exit; }; done
marker=$(grep -o 'qatflow-[0-9a-f]*' <<< "${@: -1}" | tail -1)
%s
echo
echo "$marker=0"
"""


def message(folder: Path, answer: str) -> str:
    """Return the error of a device whose shell answers with what the bash command `answer` prints."""
    adb = folder / "adb"
    adb.write_text(ADB % answer)
    adb.chmod(0o755)
    with pytest.raises(DeviceError) as caught:
        AdbDevice(DeviceSettings("adb", "phone", serial="one"), adb=str(adb), waits=())
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("true", "nothing"),
        ("echo what=ever", "'what=ever'"),
        ("printf 'a\\033[2Jb=c'", r"'a\x1b[2Jb=c'"),
        ("head -c 50000000 /dev/zero | tr '\\0' x", f"'{'x' * 500}… (50,000,000 characters)'"),
    ],
)
def test_a_device_that_does_not_say_what_it_is(tmp_path, answer, told):
    assert message(tmp_path, answer) == (
        f"device one: the device did not describe itself: its shell answered {told}: restart the device, and "
        "check that `adb -s one shell uname -m` prints its processor"
    )


@pytest.mark.parametrize("name", ["SEGV", "KILL"])
def test_a_signal_that_kills_adb_is_named(tmp_path, name):
    number = signal.Signals[f"SIG{name}"]
    told = message(tmp_path, f"kill -{name} $$")
    assert told.startswith(f"device one: adb was killed by signal {int(number)} ({signal.strsignal(number)}): ")
