"""The arithmetic of ARM's and x86's int8 kernels is what `graph/device_rounding.py` says, also where the two differ."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from helpers.device_fixtures import arm_bundle, arm_runtime, require  # noqa: F401
from helpers.many_kernels import many_kernels
from qatflow.device.build.bundle import open_bundle
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.demo import Demo
from qatflow.device.run.registry import open_device
from qatflow.graph.device_rounding import Grid, hard_swish
from qatflow.tflite.builder import ModelBuilder
from qatflow.tflite.read import operators
from qatflow.tflite.rounding import rounding_differently
from qatflow.tflite.run import Model
from qatflow.tflite.same_rounding import with_same_rounding

pytestmark = pytest.mark.device

Run = Callable[[bytes, np.ndarray], tuple[np.ndarray, np.ndarray]]
INTEGERS = np.arange(-128, 128)
SOURCE: Grid = (1 / 32, -7)
TARGET: Grid = (1 / 16, -20)
SECOND: tuple[Grid, ...] = ((5 / 8, 9), (35 / 256, 0), (0.0371, -100))
COUNTS = (100, 49, 9)
"""Sizes of square means, of which 100 and 49 have no exact reciprocal."""
SWISH: tuple[Grid, Grid] = ((1 / 32, 33), (3 / 256, 6))


@pytest.fixture(scope="module")
def run(arm_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:  # noqa: F811
    """Runs a model with one int8 input here and in the emulator; returns both outputs."""
    require("qemu-aarch64-static")
    with open_device(DeviceSettings("emulator", "emulator", None, "cortex-a76")) as device:
        demo = Demo(device, open_bundle(arm_bundle))

        def outputs(content: bytes, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            file = tmp_path_factory.mktemp("model") / "model.tflite"
            file.write_bytes(content)
            demo.push_model({"model.tflite": file}, file.parent.name)
            model = Model(content)
            inputs = values.astype(np.int8).reshape(model.input.shape)
            here = model.outputs(inputs)
            return here[0].ravel(), demo.outputs(file.parent.name, inputs, model.output, 1)[0]

        yield outputs


def joined(builder: ModelBuilder, parts: list[int], shape: tuple[int, ...], source: int) -> bytes:
    """Concatenate the parts along the last axis, and pack the model."""
    output = _tensor(builder, "output", shape, TARGET)
    options = schema.ConcatenationOptionsT()
    options.axis = len(shape) - 1
    builder.operator("CONCATENATION", parts, [output], options, version=2)
    return builder.pack([("input", source)], [("output", output)], "test")


def products() -> tuple[bytes, np.ndarray]:
    """All integers times all integers, for each grid of the second ones; and the exact results, in steps."""
    builder = ModelBuilder()
    source = _tensor(builder, "input", (1, 256, 1, 1), SOURCE)
    parts, exact = [], []
    for number, (scale, zero_point) in enumerate(SECOND):
        constant = builder.tensor(
            f"constant{number}", (1, 1, 256, 1), np.int8, np.asarray([scale]), data=INTEGERS.reshape(1, 1, 256, 1),
            zero_point=zero_point,
        )  # fmt: skip
        parts.append(_tensor(builder, f"product{number}", (1, 256, 256, 1), TARGET))
        builder.operator("MUL", [source, constant], [parts[-1]], schema.MulOptionsT(), version=2)
        multiplier = np.float32(np.float32(SOURCE[0]) * np.float32(scale)) / np.float32(TARGET[0])
        exact.append(np.outer(INTEGERS - SOURCE[1], INTEGERS - zero_point) * float(multiplier))
    return joined(builder, parts, (1, 256, 256, len(SECOND)), source), np.stack(exact, -1).ravel()


def means(values: np.ndarray) -> bytes:
    """Means of squares of different sizes in the corner of a picture."""
    builder = ModelBuilder()
    source = _tensor(builder, "input", values.shape, SOURCE)
    axes = builder.tensor("axes", (2,), np.int32, data=np.asarray([1, 2]))
    begin = builder.tensor("begin", (4,), np.int32, data=np.zeros(4))
    parts = []
    for count in COUNTS:
        shape = (1, int(count**0.5), int(count**0.5), values.shape[3])
        size = builder.tensor(f"size{count}", (4,), np.int32, data=np.asarray(shape))
        corner = _tensor(builder, f"corner{count}", shape, SOURCE)
        builder.operator("SLICE", [source, begin, size], [corner], schema.SliceOptionsT(), version=2)
        parts.append(_tensor(builder, f"mean{count}", (1, values.shape[3]), TARGET))
        builder.operator("MEAN", [corner, axes], [parts[-1]], schema.ReducerOptionsT(), version=2)
    return joined(builder, parts, (1, values.shape[3] * len(COUNTS)), source)


def _tensor(builder: ModelBuilder, name: str, shape: tuple[int, ...], grid: Grid) -> int:
    return builder.tensor(name, shape, np.int8, np.asarray([grid[0]]), zero_point=grid[1])


def clipped(steps: np.ndarray, grid: Grid) -> np.ndarray:
    return np.clip(steps + grid[1], -128, 127)


def check_settled(run: Run, content: bytes, values: np.ndarray) -> None:
    """With the scales that the rule finds, both give the same."""
    assert rounding_differently(operators(content))
    settled = with_same_rounding(content)
    assert not rounding_differently(operators(settled))
    here, there = run(settled, values)
    np.testing.assert_array_equal(here, there)


def test_x86_rounds_a_float32_product_to_even_and_arm_the_exact_one_up(run) -> None:
    content, exact = products()
    here, there = run(content, INTEGERS)
    np.testing.assert_array_equal(here, clipped(np.rint(exact.astype(np.float32)), TARGET))
    np.testing.assert_array_equal(there, clipped(np.floor(exact + 0.5), TARGET))
    assert (here != there).any()
    check_settled(run, content, INTEGERS)


def test_arm_adds_the_zero_point_of_a_mean_in_one_rounding_and_x86_in_two(run) -> None:
    random = np.random.default_rng(0)
    values = np.clip(random.integers(-128, 128, 512) + random.integers(-30, 31, (1, 10, 10, 512)), -128, 127)
    here, there = run(means(values), values)
    expected: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for count in COUNTS:
        side = int(count**0.5)
        sums = values[0, :side, :side].sum((0, 1))
        multiplier = np.float32(0.5) * (np.float32(1) / np.float32(count))
        zero_points = np.float32(count * SOURCE[1])
        shift = np.float32(TARGET[1]) - zero_points * multiplier
        fused = np.float32(TARGET[1] - float(zero_points) * float(multiplier))
        expected[False].append(sums.astype(np.float32) * multiplier + shift)
        expected[True].append((sums * float(multiplier) + float(fused)).astype(np.float32))
    for output, arm in ((here, False), (there, True)):
        np.testing.assert_array_equal(output, np.clip(np.rint(np.concatenate(expected[arm])), -128, 127))
    assert (here != there).any()
    check_settled(run, means(values), values)


def test_hard_swish_is_in_16_bit_arithmetic_that_rounds_otherwise_on_arm(run) -> None:
    builder = ModelBuilder()
    source = _tensor(builder, "input", (1, 256), SWISH[0])
    output = _tensor(builder, "output", (1, 256), SWISH[1])
    builder.operator("HARD_SWISH", [source], [output])
    content = builder.pack([("input", source)], [("output", output)], "test")
    here, there = run(content, INTEGERS)
    np.testing.assert_array_equal(here, hard_swish(*SWISH, arm=False))
    np.testing.assert_array_equal(there, hard_swish(*SWISH, arm=True))
    assert (here != there).any()
    check_settled(run, content, INTEGERS)


def test_all_other_kernels_agree_in_ties_too(run) -> None:
    content, values = many_kernels()
    assert not rounding_differently(operators(content))
    here, there = run(content, values)
    np.testing.assert_array_equal(here, there)
    assert len(np.unique(here)) > 200
