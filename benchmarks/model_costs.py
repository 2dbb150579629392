"""What an inference of a model costs: instructions in the emulator, and processor time on the host."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qatflow.device.build.build import build
from qatflow.device.build.bundle import open_bundle
from qatflow.device.build.runtime import fetch_runtime
from qatflow.device.build.targets import find_target
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.demo import Demo
from qatflow.device.run.instructions import count_instructions
from qatflow.device.run.registry import open_device
from qatflow.tflite.run import Model

TARGET = "android.armv8"
SOURCES, LOCK = Path("demo/cxx/mobile_light"), Path("requirements.lock")
ROUNDS = 15


def instructions(files: Mapping[str, Path], folder: Path) -> dict[str, int]:
    """Return the instructions of an inference of each .tflite on a Cortex-A76.

    Args:
        files: the .tflite files by name.
        folder: where the C++ program is built, or has been.
    """
    bundle_folder, runtime = folder / f"inference_lite_lib.{TARGET}", folder / "libLiteRt.so"
    if not bundle_folder.is_dir():
        fetch_runtime(LOCK, "aarch64", runtime)
        build(SOURCES, find_target(TARGET, "gcc"), runtime, bundle_folder)
    bundle = open_bundle(bundle_folder)
    counted: dict[str, int] = {}
    with open_device(DeviceSettings("emulator", "emulator", target=TARGET)) as device:
        demo = Demo(device, bundle)
        for number, (row, file) in enumerate(files.items()):
            demo.push_model({"model.tflite": file}, f"model{number:03}")
            counted[row] = count_instructions(device, bundle, f"model{number:03}", runs=1) or 0
            print(f"{row}: {counted[row]:,} instructions", file=sys.stderr, flush=True)
    return counted


def milliseconds(models: Mapping[str, bytes], repeats: int) -> dict[str, np.ndarray]:
    """Return processor time per picture in ms, one value a round, with one thread; the models take turns.

    Args:
        models: .tflite by name.
        repeats: inferences of a model in a round.
    """
    loaded = {row: Model(content, threads=1) for row, content in models.items()}
    times: dict[str, list[float]] = {row: [] for row in models}
    for _ in range(ROUNDS):
        for row, model in loaded.items():
            began = time.process_time()
            model.milliseconds(repeats, warmup=0)
            times[row].append(1e3 * (time.process_time() - began) / repeats)
    return {row: np.asarray(values) for row, values in times.items()}
