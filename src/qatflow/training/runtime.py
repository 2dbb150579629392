"""How TensorFlow is started: quiet, with Keras 2, seeded, deterministic, with the threads and GPUs it may use."""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.config.sections.hardware import HardwareSection

DRIVER = Path("/dev/nvidia0")
DEVICES = Path("/dev")
DRIVERS = ("nvidia*", "dxg", "kfd")
"""Device files of GPU drivers: NVIDIA's, that of Windows Subsystem for Linux, AMD's."""
DEEPEST = 10_000
"""Levels of recursion: Keras follows a network layer by layer, and ResNetRS200 has more than Python's 1,000."""
THRESHOLDS = (100_000, 20, 20)
"""Of the search for garbage. Tracing a model makes a million objects that stay: Python's own 700 costs a seventh."""
WITHOUT_DRIVER = "failed call to cuInit"
"""What TensorFlow reports as an error where there is no driver, which is the usual case."""


def start(seed: int, threads: int, hardware: HardwareSection | None = None) -> None:
    """Import and configure TensorFlow, and print what it computes on. Must come before any other import of it.

    Args:
        seed: seeds Python, NumPy and TensorFlow.
        threads: threads within operations, and between them.
        hardware: which GPUs, and how much of their memory; None: none, and nothing is printed.

    Raises:
        UserError: there are fewer GPUs than the configuration asks for.
    """
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tfmot works on Keras 2 alone
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _fast_import("pandas", "scipy"):
        import tensorflow as tf
        import tf_keras

    sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEPEST))
    gc.set_threshold(*THRESHOLDS)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    used = _gpus(tf, hardware or HardwareSection(gpus=0))
    if hardware is not None:
        print(_description(tf, used, hardware, threads), flush=True)
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def import_quantisation() -> None:
    """Import tensorflow-model-optimization, after `start`, without Keras 3: a second for what it never uses."""
    with _fast_import("keras"):
        import tensorflow_model_optimization  # noqa: F401


@contextlib.contextmanager
def _fast_import(*optional: str) -> Iterator[None]:
    """Import without searching for garbage, and as if optional packages were absent unless they are loaded already.

    Importing TensorFlow makes a million objects that stay: the collector's searches among them take a fifth of the
    time. TensorFlow and tf_keras load pandas and SciPy for inputs that no job here has: another sixth.
    """
    absent = [name for name in optional if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's word for: not installed
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()


def _gpus(tf: Any, hardware: HardwareSection) -> list[Any]:
    """Return the GPUs that are used, with their memory set up; hide the others."""
    with contextlib.nullcontext() if _has_driver() else _without_lines(WITHOUT_DRIVER):
        visible = tf.config.list_physical_devices("GPU")  # of those that CUDA_VISIBLE_DEVICES lets through
    if hardware.gpus is not None and hardware.gpus > len(visible):
        raise UserError(
            f"hardware.gpus: {hardware.gpus} GPUs are wanted, {len(visible)} found{_hidden()}{_without_libraries()}; "
            "set hardware.gpus to null for those that are there, or to 0 for the CPU"
        )
    used = visible if hardware.gpus is None else visible[: hardware.gpus]
    tf.config.set_visible_devices(used, "GPU")
    for device in used:
        if hardware.memory_limit is None:
            tf.config.experimental.set_memory_growth(device, True)
        else:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=hardware.memory_limit)
            tf.config.set_logical_device_configuration(device, [limit])
    return list(used)


def _has_driver() -> bool:
    return any(True for pattern in DRIVERS for _ in DEVICES.glob(pattern))


@contextlib.contextmanager
def _without_lines(text: str) -> Iterator[None]:
    """Drop lines that have `text` in them from standard error, also those of C++; the others follow at the end."""
    sys.stderr.flush()
    with os.fdopen(os.memfd_create("stderr"), "w+b") as caught:
        real = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
            caught.seek(0)
            for line in caught:
                if text.encode() not in line:
                    os.write(2, line)


def _description(tf: Any, used: list[Any], hardware: HardwareSection, threads: int) -> str:
    if not used:
        why = "hardware.gpus is 0" if hardware.gpus == 0 else f"no GPU found{_hidden()}{_without_libraries()}"
        return f"{why}: computing on the CPU, with {threads} thread{'' if threads == 1 else 's'}"
    names = {tf.config.experimental.get_device_details(device).get("device_name", "unknown") for device in used}
    memory = "as it is needed" if hardware.memory_limit is None else f"at most {hardware.memory_limit} MiB of each"
    return f"computing on {len(used)} GPU{'' if len(used) == 1 else 's'} ({', '.join(sorted(names))}), memory {memory}"


def _hidden() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"


def _without_libraries() -> str:
    """Return what is missing where there is a driver: TensorFlow's package alone has no CUDA."""
    if not DRIVER.exists() or os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return ""
    return f", though {DRIVER} is there: CUDA's libraries are missing, see docs/gpus.md"
