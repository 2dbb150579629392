"""Latencies of operators measured on devices, and what they predict for whole models."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.device_phones import StartPhone, image, server, start_phone  # noqa: F401
from helpers.graphs import small_graph
from qatflow.device.build.bundle import open_bundle
from qatflow.device.interface import Device, DeviceError, DeviceSettings
from qatflow.device.run import operator_latency as measure_latency
from qatflow.device.run.demo import Demo
from qatflow.device.run.instructions import count_instructions
from qatflow.device.run.operator_latency import LatencySettings, measure
from qatflow.device.run.registry import open_device
from qatflow.graph.channels import channels
from qatflow.graph.resized import Sizes, resized
from qatflow.quantisation.as_if_quantised import as_if_quantised
from qatflow.quantisation.placement import QuantSettings
from qatflow.tflite.lower import convert
from qatflow.tflite.single_operator import single_operators

pytestmark = pytest.mark.device

EMULATOR = DeviceSettings("emulator", "test")


def int8(size: int, width: int, window: int) -> bytes:
    graph = small_graph(size=size)
    sizes = Sizes({"conv/kernel": width}, {"dw/depthwise_kernel": window})
    other = resized(graph, channels(graph), sizes, seed=0)
    return convert(as_if_quantised(other, QuantSettings(8, 8, "abs_max", "moving_average_abs_max"))).content


def operators(*models: bytes) -> dict[str, bytes]:
    return {operator.key: operator.model() for model in models for operator in single_operators(model)}


@pytest.fixture
def emulator() -> Iterator[Device]:
    require("qemu-aarch64-static")
    with open_device(EMULATOR) as device:
        yield device


def test_instructions_of_whole_models_are_foretold_from_those_of_their_operators(
    emulator: Device, arm_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    models = {"narrow": int8(16, 4, 3), "wide": int8(16, 16, 5)}
    alone = operators(*models.values())
    counted: list[int] = []

    def broken_at(number: int):
        def count(*arguments: object, **more: object) -> int | None:
            if len(counted) == number:
                raise DeviceError("it went away")
            counted.append(1)
            return count_instructions(*arguments, **more)  # type: ignore[arg-type]

        return count

    # a measurement that ends early goes on, and what it has measured is not measured again
    settings = LatencySettings(EMULATOR, "instructions", 1, 0, 1)
    monkeypatch.setattr(measure_latency, "count_instructions", broken_at(5))
    with pytest.raises(DeviceError, match="it went away"):
        measure(settings, alone, arm_bundle, tmp_path / "state")
    monkeypatch.setattr(measure_latency, "count_instructions", broken_at(-1))
    table = measure(settings, alone, arm_bundle, tmp_path / "state")
    assert len(counted) == len(alone) + 2 and set(table.operators) == set(alone)
    assert measure(settings, alone, arm_bundle, tmp_path / "state") == table and len(counted) == len(alone) + 2

    bundle = open_bundle(arm_bundle)
    demo = Demo(emulator, bundle)
    found = {}
    for name, content in models.items():
        (tmp_path / name).write_bytes(content)
        demo.push_model({"model.tflite": tmp_path / name}, name)
        found[name] = count_instructions(emulator, bundle, name, runs=1)
        assert table.predict(content) == pytest.approx(found[name], rel=0.1)
    assert found["wide"] > 1.3 * found["narrow"]
    assert (table.unit, table.threads, table.device["emulated"]) == ("instructions", 1, True)


def test_milliseconds_are_those_of_the_operators_kernels(
    start_phone: StartPhone, arm_bundle: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    phone = start_phone()
    settings = LatencySettings(DeviceSettings("adb", "phone", serial=phone.serial), "ms", 1, 1, 3)
    content = int8(64, 16, 5)
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D")
    some = {key: model for key, model in operators(content).items() if json.loads(key)["operator"] in kinds}
    table = measure(settings, some, arm_bundle, tmp_path / "state")
    assert (table.unit, table.call) == ("ms", 0.0) and set(table.operators) == set(some)
    # times of an emulated phone are noisy; the convolution of 64 × 64 pictures has some millions of products
    assert all(0 < latency < 1000 for latency in table.operators.values())
    assert table.device["type"] == "adb" and any("1800 MHz of 2400" in warning for warning in table.warnings)
