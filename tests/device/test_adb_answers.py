"""An adb that lies: a shell that answers with nothing, garbage or 50 MB, and an adb that a signal kills."""

import signal
from pathlib import Path

import pytest

from qatflow.device.adb.device import AdbDevice
from qatflow.device.interface import DeviceError, DeviceSettings

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
        f"device one: the device did not say what it is: its shell answered {told}: restart the device, and check that "
        "`adb -s one shell uname -m` prints its processor"
    )


@pytest.mark.parametrize("name", ["SEGV", "KILL"])
def test_a_signal_that_kills_adb_is_named(tmp_path, name):
    number = signal.Signals[f"SIG{name}"]
    told = message(tmp_path, f"kill -{name} $$")
    assert told.startswith(f"device one: adb was killed by signal {int(number)} ({signal.strsignal(number)}): ")
