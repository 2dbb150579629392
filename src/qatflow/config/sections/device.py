"""The section of a device."""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Name, Section, Text


class DeviceSection(Section):
    """Where the optimised model is run."""

    type: Literal["emulator", "adb"] = Field(
        "emulator", description="emulator: qemu user mode; adb: a phone or board on the desk."
    )
    name: Name = Field("emulator", description="The results are kept in results/<experiment>/device/<name>/.")
    serial: Text | None = Field(None, description="adb: the serial number that `adb devices` prints. Required there.")
    cpu: Text = Field("cortex-a76", description="emulator: the CPU that qemu imitates.")
    target: Literal["android.armv8", "linux.armv8", "linux.x86_64"] = Field(
        "android.armv8",
        description="What the demo is built for. android.armv8: Android; by gcc also all else that runs arm64, "
        "since it carries loader and libraries; linux.armv8: a board with glibc; linux.x86_64: a PC with adbd.",
    )
    toolchain: Literal["gcc", "clang"] = Field(
        "gcc",
        description="What builds the demo. gcc: Debian's compilers; clang: the Android NDK in the folder that the "
        "environment variable ANDROID_NDK_HOME names, for target android.armv8.",
    )
    aar: Text | None = Field(
        None, description="clang: the archive of LiteRT for Android, litert-<version>.aar. Required there."
    )
    pictures: int = Field(
        200,
        ge=1,
        le=bounds.PICTURES,
        description="Validation pictures that run on the device and are compared with the host.",
    )
    tolerance: float | None = Field(
        None,
        ge=0,
        le=bounds.DIFFERENCE,
        description="Largest difference of an output from the host's; in steps, where the output is an integer tensor. "
        "0: all that is computed in integers has equal bits, and a float softmax behind it is within 1e-6. null: 16 "
        "steps for a model that computes in uint8, whose kernels round differently on ARM and x86; 0 for any other.",
    )
    threads: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1, 2, 4],
        min_length=1,
        description="Numbers of threads of the run-time to time with. The pictures, the times of the operators and the "
        "latency gate have the first; what the device has no cores for is left out, and said.",
    )
    warmup: int = Field(1, ge=0, le=bounds.RUNS, description="Runs before timing starts.")
    repeats: int = Field(10, ge=1, le=bounds.RUNS, description="Timed runs.")
    count_instructions: bool = Field(
        True,
        description="emulator: whether the instructions of one inference are counted, which stand for times there. "
        "Takes seconds for a small MobileNet, minutes at 224 × 224 or for a ResNet50. false: null in report.json.",
    )
    max_latency_ms: float | None = Field(
        None,
        ge=bounds.LEAST_MS,
        le=bounds.LARGEST_MS,
        description="adb: longest median time of a picture, in ms, that the int8 model may take at the first number of "
        "threads; more ends the run, with everything kept. null: any. Emulated times say nothing, so not for type "
        "'emulator'.",
    )
    keep: bool = Field(
        False,
        description="Whether the run's folder stays on the device afterwards, to be tried by hand; the next run "
        "sends only what differs from it.",
    )


BUILD_KEYS = ("toolchain", "aar")
"""Keys of DeviceSection that say how the demo is built, and nothing of the device."""


LATENCY_KEYS = ("type", "name", "serial", "cpu", "target", "threads", "warmup", "repeats", "keep")
"""Keys of DeviceSection that the measured latency of an operator depends on."""
