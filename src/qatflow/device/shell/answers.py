"""What a device's shell answers, as values: mounts, free space, frequencies, temperatures."""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from qatflow.device.interface import CpuFrequency, DeviceDescription
from qatflow.device.shell.scripts import DESCRIBED

FREE = re.compile(r"(\d{1,15})\s+\d+%\s")
PLAUSIBLE_CELSIUS = (-40.0, 150.0)
FREQUENCY = re.compile(r"^frequency=(.*)\|(.*)\|(.*)\|(.*)\|(.*)$", re.MULTILINE)
ZONE = re.compile(r"^zone=(.*)\|(-?\d{1,9})\s*$", re.MULTILINE)
HAL = "Current temperatures from HAL:"
HAL_TEMPERATURE = re.compile(r"^\s*Temperature\{(?=.*\bmValue=(-?[\d.]+))(?=.*\bmName=([^,}]+)).*\}\s*$")


def mount_options(mounts: str, folder: str) -> Collection[str]:
    """Return the options of the file system that holds `folder`; empty if it is not listed.

    Args:
        mounts: the text of /proc/mounts.
        folder: an absolute path.
    """
    place = PurePosixPath(folder)
    holding: tuple[str, ...] = ()
    longest = 0
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 4 or not place.is_relative_to(fields[1]):
            continue
        # of several mounts on one point, the last hides the others
        if len(PurePosixPath(fields[1]).parts) >= longest:
            longest, holding = len(PurePosixPath(fields[1]).parts), tuple(fields[3].split(","))
    return holding


def free_bytes(df: str) -> int | None:
    """Return the free space that `df -kP FOLDER` prints, in bytes; None if its answer cannot be read."""
    free = FREE.findall(df)
    return int(free[-1]) * 1024 if free else None


def description(text: str, type: str, name: str) -> DeviceDescription | None:
    """Return the description in the output of `scripts.DESCRIBE`; None if the device did not describe itself.

    Args:
        text: the output.
        type: kind of device.
        name: what the user calls it.
    """
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if not properties.keys() >= DESCRIBED or not properties["machine"]:
        return None
    abis = (properties["abis"] or properties["abi"]).split(",")
    runs_aarch64 = "arm64-v8a" in abis or (abis == [""] and properties["machine"] == "aarch64")
    return DeviceDescription(
        type=type,
        name=name,
        model=f"{properties['maker']} {properties['model']}".strip() or properties["board"] or "unknown",
        system=f"Android {properties['android']}" if properties["android"] else properties["kernel"],
        machine="aarch64" if runs_aarch64 else (",".join(filter(None, abis)) or properties["machine"]),
        abis=tuple(filter(None, abis)),
        cpu=properties["soc"] or None,
        features=tuple(properties["features"].partition(":")[2].split()),
        cores=int(properties["cores"]) if re.fullmatch(r"\d{1,4}", properties["cores"]) else 1,
        governor=properties["governor"] or None,
        frequency=frequencies(text),
        emulated="1" in properties["virtual"],  # an Android virtual device
    )


def frequencies(text: str) -> tuple[CpuFrequency, ...] | None:
    """Return the frequency limits in the output of `scripts.DESCRIBE`; None if there are none."""
    limits = [
        CpuFrequency(cores or None, governor or None, _khz(low), _khz(high), _khz(hardware))
        for cores, governor, low, high, hardware in FREQUENCY.findall(text)
    ]
    return tuple(limits) or None


def temperatures(text: str) -> dict[str, float]:
    """Return degrees Celsius by sensor, from the output of `scripts.TEMPERATURES`; empty if there are none.

    The kernel reports thousandths of a degree; some vendors' drivers report degrees. Impossible temperatures are
    skipped: sensors that are switched off report them. If several sensors have one name, the later ones get a number.
    """
    read = [
        (name, int(value) / 1000 if abs(int(value)) >= 1000 else float(value)) for name, value in ZONE.findall(text)
    ]
    for line in text.partition(HAL)[2].splitlines()[1:]:
        sensor = HAL_TEMPERATURE.match(line)
        if sensor is None:
            break
        read.append((sensor[2], float(sensor[1])))
    celsius_of: dict[str, float] = {}
    low, high = PLAUSIBLE_CELSIUS
    for name, celsius in read:
        if celsius == 0 or not low < celsius < high:
            continue
        number = 1 + sum(earlier == name or earlier.startswith(f"{name} #") for earlier in celsius_of)
        celsius_of[name if number == 1 else f"{name} #{number}"] = celsius
    return celsius_of


def _khz(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,12}", text) else None
