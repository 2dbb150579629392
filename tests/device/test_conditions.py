"""Frequency limits and temperatures, read from what devices print."""

from helpers.device_reports import description
from qatflow.device.interface import CpuFrequency
from qatflow.device.results.conditions import frequencies, held_back, temperatures

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


def test_cores_that_are_held_back_are_warned_of() -> None:
    (warning,) = held_back(description())
    assert warning.startswith("cores 0 1 of phone may run at 1800 MHz of 2400: is it hot")
    assert list(held_back(description(emulated=True))) == []
