"""Checks of the sections `device` and `devices`."""

from collections.abc import Iterator

from qatflow.base.emulated_cpus import CORES, find_cpu
from qatflow.base.errors import UserError
from qatflow.base.places import with_home
from qatflow.config.checks.files import file_problem
from qatflow.config.sections.config import Config
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.devices import OWN, ConfiguredDevice, devices
from qatflow.config.yaml.keys import dotted
from qatflow.config.yaml.problems import Problem

ADDRESS = {
    "adb": ("serial", "the serial number that `adb devices` prints"),
    "ssh": ("host", "what you type after `ssh`, such as pi@raspberrypi.local"),
}
"""The key that says which device it is, and what belongs there, by the type of device."""
KEYS = {"serial": "adb", "host": "ssh", "port": "ssh", "identity": "ssh"}
"""The type of device that a key is for."""
EMULATED = {
    "max_latency_ms": "emulated times say nothing",
    "max_memory_bytes": "the memory of an emulated program is the emulator's and says nothing",
}
"""Limits of figures that an emulator does not have, and why."""
WITHOUT_ANDROID = {"emulator": "the emulator", "ssh": "a board with ssh"}


def check_devices(config: Config) -> Iterator[Problem]:
    """Yield the problems of the devices."""
    yield from _listed(config)
    for device in devices(config):
        yield from _device(device)
        yield from _demo(device)


def _listed(config: Config) -> Iterator[Problem]:
    """Yield the problems of the list: names, and a device that is set beside it."""
    first: dict[str, int] = {}
    for index, device in enumerate(config.devices):
        keys = ("devices", index, "name")
        earlier = first.setdefault(device.name.lower(), index) if "name" in device.model_fields_set else None
        if earlier is None:
            yield Problem((keys,), "is missing: each device of a list needs a name of its own, for its results' folder")
        elif earlier != index:
            also = "" if config.devices[earlier].name == device.name else ", but for upper and lower case"
            message = f"'{device.name}' is also the name of devices[{earlier}]{also}: each device needs its own"
            yield Problem((keys,), message)
    default = DeviceSection()
    changed = [key for key in OWN if getattr(config.device, key) != getattr(default, key)]
    if config.devices and changed:
        yield Problem(
            (("device", changed[0]), ("devices",)),
            "is for a single device, and `devices` replaces it: list the device there, or set devices to []",
        )


def _device(device: ConfiguredDevice) -> Iterator[Problem]:
    section = device.section
    threads = device.keys("threads")
    kind = device.own("type")
    for type_, (address, what) in ADDRESS.items():
        if section.type == type_ and getattr(section, address) is None:
            yield Problem((device.keys(address), kind), f"is missing: type '{type_}' needs {what}")
    for other, type_ in KEYS.items():
        if section.type != type_ and getattr(section, other) is not None:
            yield Problem(
                (device.keys(other), kind), f"is for type '{type_}': remove it, or set {dotted(kind)} to '{type_}'"
            )
    key = section.identity if section.type == "ssh" else None
    if key is not None and (reason := file_problem(str(with_home(key)))):
        yield Problem((device.keys("identity"),), reason)
    if section.type == "emulator":
        try:
            find_cpu(section.cpu)
        except UserError as error:
            yield Problem((device.keys("cpu"), kind), str(error))
        for key, what in EMULATED.items():
            if getattr(section, key) is not None:
                yield Problem(
                    (device.keys(key), kind),
                    f"is for types 'adb' and 'ssh': {what} about a real device. Remove it, or set {dotted(kind)} to "
                    "one of them",
                )
        if section.rules != "short":
            yield Problem(
                (device.keys("rules"), kind),
                f"'{section.rules}' is for types 'adb' and 'ssh': emulated times say nothing about a real device. Set "
                f"it to 'short', or {dotted(kind)} to one of them",
            )
        if section.max_instructions is not None and section.runs_here:
            yield Problem(
                (device.keys("max_instructions"), kind),
                "counts instructions, and none are counted where this machine is arm64 itself: remove it, or use a "
                "machine with another processor",
            )
        elif section.max_instructions is not None and not section.count_instructions:
            yield Problem(
                (device.keys("max_instructions"), device.keys("count_instructions")),
                f"counts instructions: remove it, or set {dotted(device.keys('count_instructions'))} to true",
            )
        if section.threads[0] > CORES:
            yield Problem(
                (threads, kind),
                f"begins with {section.threads[0]}, and the emulator has {CORES} cores: begin with at most {CORES}",
            )
    elif section.max_instructions is not None:
        yield Problem(
            (device.keys("max_instructions"), kind),
            f"is for type 'emulator': no program can count its instructions over {section.type}. Remove it, or set "
            f"{dotted(device.own('max_instructions'))} to null",
        )
    if repeated := sorted({number for number in section.threads if section.threads.count(number) > 1}):
        yield Problem((threads,), f"has {', '.join(map(str, repeated))} more than once")


def _demo(device: ConfiguredDevice) -> Iterator[Problem]:
    section = device.section
    target, toolchain, aar = (device.keys(key) for key in ("target", "toolchain", "aar"))
    kind = device.own("type")
    if section.toolchain == "clang" and section.target != "android.armv8":
        yield Problem(
            (toolchain, target),
            "'clang' is the compiler of the Android NDK, which builds only for target 'android.armv8'",
        )
    elif section.toolchain == "clang" and section.type != "adb":
        yield Problem(
            (toolchain, kind),
            f"programs of 'clang' need Android's own libraries, which {WITHOUT_ANDROID[section.type]} does not have: "
            f"set it to 'gcc', or {dotted(kind)} to 'adb'",
        )
    if section.target == "linux.x86_64" and section.type == "emulator":
        yield Problem(
            (target, kind),
            f"the emulator runs arm64 programs: choose another target, or set {dotted(kind)} to 'adb' or 'ssh'",
        )
    if section.toolchain == "gcc" and section.aar is not None:
        yield Problem((aar, toolchain), f"is for toolchain 'clang': remove it, or set {dotted(toolchain)} to 'clang'")
    elif section.toolchain == "clang" and section.aar is None:
        yield Problem(
            (aar, toolchain),
            "is missing: toolchain 'clang' needs LiteRT for Android, litert-<version>.aar (Maven: "
            "com.google.ai.edge.litert:litert)",
        )
    elif section.aar is not None:
        if reason := file_problem(section.aar):
            yield Problem((aar,), reason)
        elif not section.aar.endswith(".aar"):
            yield Problem((aar,), f"{section.aar} is not a .aar file, the archive of an Android library")
