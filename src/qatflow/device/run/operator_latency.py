"""Latency of operators on a device, measured one by one and saved, so that an interrupted run can continue."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from qatflow.base import provenance
from qatflow.base.errors import UserError
from qatflow.base.files import read_json, sha256, write_json
from qatflow.base.work_folder import work_folder
from qatflow.config.sections.device import DeviceSection
from qatflow.device.build.bundle import Bundle, open_bundle
from qatflow.device.interface import Device, DeviceSettings
from qatflow.device.results.warnings import held_back
from qatflow.device.run.demo import Demo
from qatflow.device.run.instructions import count_instructions
from qatflow.device.run.registry import device_settings, open_device
from qatflow.device.run.timing import threads_to_time
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Input, Tanh
from qatflow.tflite.latency_table import LatencyTable, Unit
from qatflow.tflite.lower import lower

FOLDER = "operator"
IDENTITY = ("type", "name", "model", "system", "machine", "cpu")
"""The fields of a device's description that saved measurements depend on. Governor and limits may change in between."""


@dataclass(frozen=True)
class LatencySettings:
    """How to measure.

    Attributes:
        device: the device to measure on.
        unit: `instructions`, if the device can count them, or `ms`.
        threads: number of threads of the runtime, for times; instructions are counted with one thread.
        warmup: runs before the timed ones.
        repeats: timed runs, whose mean is the latency.
    """

    device: DeviceSettings
    unit: Unit
    threads: int
    warmup: int
    repeats: int

    @staticmethod
    def of(section: DeviceSection) -> "LatencySettings":
        """Return the settings for a device: an emulator counts instructions, since its times mean nothing."""
        return LatencySettings(
            device=device_settings(section),
            unit="instructions" if section.type == "emulator" else "ms",
            threads=section.threads[0],
            warmup=section.warmup,
            repeats=section.repeats,
        )


def measure(settings: LatencySettings, operators: Mapping[str, bytes], library: Path, state: Path) -> LatencyTable:
    """Return the latency of each operator.

    A time is that of the operator's kernel in LiteRT's profiler, so it does not include the call. Instructions are
    counted for a whole inference, and the constant part of every inference is subtracted.

    Args:
        settings: how and where to measure.
        operators: a .tflite model of each operator alone, by its key (`single_operator.SingleOperator`).
        library: the built demo, inference_lite_lib.<target>.
        state: folder for the measurements made so far.

    Raises:
        UserError: the device failed, or cannot count instructions.
    """
    bundle = open_bundle(library)
    with open_device(settings.device) as device:
        demo = Demo(device, bundle)
        about = demo.description
        threads_to_time((settings.threads,), about)
        shape = {
            "settings": asdict(settings),
            "device": {name: value for name, value in asdict(about).items() if name in IDENTITY},
            "program": sha256(bundle.manifest),
        }
        with work_folder(state, shape, "measuring") as folder:
            run = _Run(settings, device, bundle, demo, folder / "measured.json")
            call = run.call() if settings.unit == "instructions" else 0.0
            for place, (key, model) in enumerate(operators.items(), 1):
                new = key not in run.known
                latency = run.measured(key, model)
                if new:
                    print(f"operator {place} of {len(operators)}: {latency:g} {settings.unit}: {key}", flush=True)
            latencies = {key: max(0.0, run.known[key] - call) for key in operators}
    return LatencyTable(
        settings.unit,
        asdict(about),
        settings.threads if settings.unit == "ms" else 1,
        call,
        latencies,
        tuple(held_back(about)) if settings.unit == "ms" else (),
        provenance.record([bundle.manifest], asdict(settings)),
    )


class _Run:
    """A series of measurements on an open device.

    Attributes:
        known: the latencies measured so far, by key.
    """

    def __init__(self, settings: LatencySettings, device: Device, bundle: Bundle, demo: Demo, kept: Path) -> None:
        self._settings, self._device, self._bundle, self._demo, self._kept = settings, device, bundle, demo, kept
        self.known: dict[str, float] = read_json(kept) if kept.is_file() else {}

    def measured(self, key: str, content: bytes) -> float:
        """Return the latency of a model; measure it only if it is not known."""
        if key not in self.known:
            with tempfile.TemporaryDirectory() as temporary:
                model = Path(temporary) / "model.tflite"
                model.write_bytes(content)
                self._demo.push_model({model.name: model}, FOLDER)
            self.known[key] = self._latency()
            write_json(self._kept, self.known)
        return self.known[key]

    def call(self) -> float:
        """Return the cost of an inference without its operators: two operators cost one more than one does."""
        one, two = (self.measured(f"a chain of {length}", _chain(length)) for length in (1, 2))
        return 2 * one - two

    def _latency(self) -> float:
        settings = self._settings
        if settings.unit == "ms":
            profile = self._demo.profile(FOLDER, settings.threads, settings.warmup, settings.repeats)
            return sum(operator.mean_ms for operator in profile.operators)
        count = count_instructions(self._device, self._bundle, FOLDER, runs=1)
        if count is None:
            raise UserError(f"device {settings.device.name} cannot count instructions: measure in ms there")
        return float(count)


def _chain(length: int) -> bytes:
    """Return a model with a chain of that many operators that do almost nothing."""
    links = [Node(f"link{place}", Tanh(), (f"link{place - 1}",)) for place in range(1, length + 1)]
    nodes = (Node("link0", Input((1, 1, 1))), *links)
    return lower(Graph(nodes, (nodes[-1].name,), {}), "qatflow: nothing")
