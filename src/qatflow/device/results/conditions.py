"""Under what conditions a device computes: how fast its cores may run, and how warm it is. Read from what it prints."""

import re
from collections.abc import Iterator

from qatflow.device.interface import CpuFrequency, DeviceDescription

PLAUSIBLE_CELSIUS = (-40.0, 150.0)
FREQUENCY = re.compile(r"^frequency=(.*)\|(.*)\|(.*)\|(.*)\|(.*)$", re.MULTILINE)
ZONE = re.compile(r"^zone=(.*)\|(-?\d{1,9})\s*$", re.MULTILINE)
HAL = "Current temperatures from HAL:"
HAL_TEMPERATURE = re.compile(r"^\s*Temperature\{(?=.*\bmValue=(-?[\d.]+))(?=.*\bmName=([^,}]+)).*\}\s*$")


def frequencies(text: str) -> tuple[CpuFrequency, ...] | None:
    """Return the frequency limits in what `adb_scripts.DESCRIBE` prints; None where there are none."""
    found = [
        CpuFrequency(cores or None, governor or None, _khz(low), _khz(high), _khz(hardware))
        for cores, governor, low, high, hardware in FREQUENCY.findall(text)
    ]
    return tuple(found) or None


def temperatures(text: str) -> dict[str, float]:
    """Return degrees Celsius by sensor, in what `adb_scripts.TEMPERATURES` prints; empty where there are none.

    The kernel tells thousandths of a degree; some makers' drivers tell degrees. What no device can have is left out:
    sensors that are switched off tell it. Of sensors of one name the later get a number.
    """
    read = [
        (name, int(value) / 1000 if abs(int(value)) >= 1000 else float(value)) for name, value in ZONE.findall(text)
    ]
    for line in text.partition(HAL)[2].splitlines()[1:]:
        sensor = HAL_TEMPERATURE.match(line)
        if sensor is None:
            break
        read.append((sensor[2], float(sensor[1])))
    found: dict[str, float] = {}
    low, high = PLAUSIBLE_CELSIUS
    for name, celsius in read:
        if celsius == 0 or not low < celsius < high:
            continue
        number = 1 + sum(other == name or other.startswith(f"{name} #") for other in found)
        found[name if number == 1 else f"{name} #{number}"] = celsius
    return found


def held_back(device: DeviceDescription) -> Iterator[str]:
    """Yield a warning for cores that may not run as fast as they can."""
    for cores in device.frequency or ():
        if cores.max_khz is not None and cores.hardware_max_khz is not None and cores.max_khz < cores.hardware_max_khz:
            yield (
                f"cores {cores.cores} of {device.name} may run at {cores.max_khz / 1000:.0f} MHz of "
                f"{cores.hardware_max_khz / 1000:.0f}: is it hot, or saving its battery? Its times are longer than it "
                "can do."
            )


def _khz(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,12}", text) else None
