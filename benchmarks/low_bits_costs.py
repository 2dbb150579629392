"""Time on the host and instructions in the emulator of the models of the benchmark of few bits."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from low_bits_case import FLOAT, Case
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
ROUNDS, REPEATS = 15, 200


@dataclass(frozen=True)
class Costs:
    """What an inference of a model costs.

    Attributes:
        ms: processor time on the host, one thread, the median of the rounds.
        ratio: of that to the time of W8A8 of the default types, the median of the rounds' ratios; None: not measured.
        instructions: in the emulator.
    """

    ms: float
    ratio: float | None
    instructions: int


def costs_file(case: Case) -> Path:
    """Return the file of the costs of a case's rows."""
    return case.folder / case.recipe.folder / "costs.json"


def costs(case: Case) -> dict[str, Costs]:
    """Return the costs that are measured, by row."""
    file = costs_file(case)
    return {row: Costs(**values) for row, values in json.loads(file.read_text()).items()} if file.is_file() else {}


def measure_costs(case: Case, rows: Sequence[str], folder: Path) -> None:
    """Measure the costs of all models of a case; the first row is what their times are divided by, if it is measured.

    Args:
        case: network and seed.
        rows: besides float.
        folder: where the C++ program is built, or has been.
    """
    files = {row: case.model(row) for row in (rows[0], FLOAT, *rows[1:]) if case.is_measured(row)}
    counted = _instructions(files, folder)
    times = _milliseconds({row: file.read_bytes() for row, file in files.items()})
    first = times.get(rows[0])
    found = {
        row: Costs(float(np.median(values)), None if first is None else float(np.median(values / first)), counted[row])
        for row, values in times.items()
    }
    costs_file(case).write_text(json.dumps({row: asdict(values) for row, values in found.items()}, indent=1))


def _instructions(files: Mapping[str, Path], folder: Path) -> dict[str, int]:
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


def _milliseconds(models: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """Return processor time per picture in ms, one value a round; the models take turns."""
    loaded = {row: Model(content, threads=1) for row, content in models.items()}
    times: dict[str, list[float]] = {row: [] for row in models}
    for _ in range(ROUNDS):
        for row, model in loaded.items():
            began = time.process_time()
            model.milliseconds(REPEATS, warmup=0)
            times[row].append(1e3 * (time.process_time() - began) / REPEATS)
    return {row: np.asarray(values) for row, values in times.items()}
