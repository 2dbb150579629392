"""The section of a device."""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.base import host
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Host, Name, Section, Text


class DeviceSection(Section):
    """The device that the optimised model runs on."""

    type: Literal["emulator", "adb", "ssh"] = Field(
        "emulator",
        description="emulator: qemu in user mode, or this machine itself where it is arm64; adb: a connected phone or "
        "board; ssh: a board reached by ssh.",
    )
    name: Name = Field(
        "emulator", description="Name of the device. Its results are in results/<experiment>/device/<name>/."
    )
    serial: Text | None = Field(None, description="adb: the serial number that `adb devices` prints; required.")
    host: Host | None = Field(
        None,
        description="ssh: the board, as you type it after `ssh`: host, user@host, or a name from your ssh "
        "configuration; required.",
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="ssh: port of the board's ssh server. null: your ssh configuration's, or 22."
    )
    identity: Text | None = Field(
        None, description="ssh: file of your private key. null: the keys that ssh tries by itself, and ssh-agent's."
    )
    cpu: Text = Field("cortex-a76", description="emulator: the CPU that qemu emulates.")
    target: Literal["android.armv8", "linux.armv8", "linux.x86_64"] = Field(
        "android.armv8",
        description="Platform that the C++ demo is built for. android.armv8: Android; built with gcc, it also runs on "
        "any other arm64 system, because it brings its loader and libraries; linux.armv8: a board with glibc; "
        "linux.x86_64: a PC with adbd or ssh.",
        json_schema_extra={
            "x-otherwise": "32-bit ARM (armv7, armeabi-v7a) is not among them: the package ai-edge-litert has no "
            "library for it. If the processor has 64 bits, install a 64-bit system on the board"
        },
    )
    toolchain: Literal["gcc", "clang"] = Field(
        "gcc",
        description="Compiler of the demo. gcc: Debian's cross compilers; clang: the Android NDK, for target "
        "android.armv8, in the folder that the environment variable ANDROID_NDK_HOME names.",
    )
    aar: Text | None = Field(None, description="clang: path of LiteRT for Android, litert-<version>.aar; required.")
    pictures: int = Field(
        200,
        ge=1,
        le=bounds.PICTURES,
        description="Number of validation pictures that run on the device and are compared with the host.",
    )
    tolerance: float | None = Field(
        None,
        ge=0,
        le=bounds.DIFFERENCE,
        description="Largest allowed difference between an output on the device and on the host, in quantisation "
        "steps for integer outputs. 0: everything computed in integers must be equal bit by bit, and a float softmax "
        "behind it within 1e-6. null: 16 steps for a uint8 model, whose kernels round differently on ARM and x86, "
        "and for a model with layers in float before others in int8; 64 for one with INT4 kernels in convolutions "
        "(int4_storage); 0 for all others.",
    )
    threads: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1, 2, 4],
        min_length=1,
        description="Numbers of LiteRT threads to measure latency with. The first one is used for the pictures, the "
        "times of single operators and the device gate. Numbers above the device's cores are skipped with a message.",
    )
    warmup: int = Field(1, ge=0, le=bounds.RUNS, description="Number of runs before timing starts.")
    repeats: int = Field(10, ge=1, le=bounds.RUNS, description="Number of timed runs.")
    rules: Literal["short", "mlperf_mobile"] = Field(
        "short",
        description="adb and ssh: how long the device is timed. short: `repeats` runs, whose median is the latency; it "
        "takes seconds, and does not show how a device slows down when it is hot. mlperf_mobile: in addition, with the "
        "first number of threads, five tries of at least 1,024 runs and 60 s with 5 minutes between them, as MLPerf "
        "Mobile's rules say; the latency is the 90th percentile of the slowest try, and a spread of more than 5 % is "
        "reported as not stable. It takes half an hour.",
    )
    count_instructions: bool = Field(
        True,
        description="emulator: count the instructions of one inference, which stand in for its time. Takes seconds "
        "for a small MobileNet, and minutes at 224 × 224 or for a ResNet50. With false, or where this machine is arm64 "
        "itself, the value in report.json is null.",
    )
    packed: bool = Field(
        True,
        description="With weights of fewer than 8 bits: send the packed model, which the program expands when it "
        "loads, so that the run tests the download too. false: send the .tflite file itself.",
    )
    max_latency_ms: float | None = Field(
        None,
        ge=bounds.LEAST_MS,
        le=bounds.LARGEST_MS,
        description="adb and ssh: largest allowed median time of the int8 model per picture, in ms, with the first "
        "number of threads. If it takes longer, the run fails and keeps all results. null: no limit. Not for the "
        "emulator, whose times say nothing about a real device.",
    )
    max_bytes: int | None = Field(
        None,
        ge=1,
        le=bounds.BYTES,
        description="Largest allowed size in bytes of the model.tflite that ships; the packed form does not count. "
        "This is known before anything runs on a device: a larger model is not sent to any device of the experiment, "
        "and the run fails and keeps all results. null: no limit.",
    )
    max_memory_bytes: int | None = Field(
        None,
        ge=1,
        le=bounds.BYTES,
        description="adb and ssh: largest allowed peak resident memory in bytes of the program with the int8 model, "
        "with the first number of threads; it includes LiteRT. Above it the run fails and keeps all results. null: no "
        "limit.",
    )
    max_instructions: int | None = Field(
        None,
        ge=1,
        le=bounds.OPERATIONS,
        description="emulator, with count_instructions: largest allowed number of instructions of the int8 model for "
        "one picture, with one thread. Above it the run fails and keeps all results. null: no limit.",
    )
    keep: bool = Field(
        False,
        description="Leave the run's folder on the device, to try it by hand. The next run then sends only the files "
        "that differ.",
    )

    @property
    def runs_here(self) -> bool:
        """Whether programs run on this machine directly: the emulator's place where it is arm64 itself."""
        return self.type == "emulator" and host.machine() == host.ARM64


RUN_LIMITS = ("max_latency_ms", "max_memory_bytes", "max_instructions")
"""Keys of DeviceSection that limit what a run on the device measures."""
LIMITS = ("max_bytes", *RUN_LIMITS)
"""Keys of DeviceSection that limit what may ship; none changes what runs on the device."""


BUILD_KEYS = ("toolchain", "aar")
"""Keys of DeviceSection that set how the demo is built, and nothing about the device."""


LATENCY_KEYS = (
    "type", "name", "serial", "host", "port", "identity", "cpu", "target", "threads", "warmup", "repeats", "keep",
)  # fmt: skip
"""Keys of DeviceSection that the measured latency of an operator depends on."""
