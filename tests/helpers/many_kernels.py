"""A .tflite model of int8 kernels side by side, with scales at which many exact results lie between two integers."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.graph.device_rounding import Grid
from qatflow.tflite.builder import ModelBuilder

SHAPE = (1, 16, 16, 4)
GRID: Grid = (1 / 32, -7)
OTHERS: tuple[Grid, ...] = ((1 / 64, 3), (3 / 128, -90), (1 / 16, 0))
KERNEL_SCALES = np.asarray([1 / 64, 3 / 128, 5 / 256, 1 / 32], np.float32)


class _Model:
    """Operators that all read one tensor, and whose results are concatenated."""

    def __init__(self) -> None:
        self.builder, self.random = ModelBuilder(), np.random.default_rng(1)
        self.source = self.tensor("input", SHAPE, GRID)
        self._parts: list[int] = []
        self._sizes: list[int] = []

    def tensor(self, name: str, shape: tuple[int, ...], grid: Grid, data: np.ndarray | None = None) -> int:
        scale = np.asarray([grid[0]], np.float32)
        return self.builder.tensor(name, shape, np.int8, scale, data=data, zero_point=grid[1])

    def constant(self, name: str, data: np.ndarray, grid: Grid) -> int:
        return self.tensor(name, data.shape, grid, data)

    def sizes(self, name: str, *values: int) -> int:
        return self.builder.tensor(name, (len(values),), np.int32, data=np.asarray(values))

    def weights(self, name: str, shape: tuple[int, ...], axis: int) -> list[int]:
        kernel, bias = self.random.integers(-20, 21, shape), self.random.integers(-99, 99, 4)
        scale = KERNEL_SCALES * np.float32(GRID[0])
        return [
            self.builder.tensor(f"{name}/kernel", shape, np.int8, KERNEL_SCALES, axis, kernel),
            self.builder.tensor(f"{name}/bias", (4,), np.int32, scale, 0, bias),
        ]

    def add(self, name: str, inputs: list[int], options: Any, version: int = 2, shape: tuple[int, ...] = SHAPE) -> None:
        number = len(self._parts)
        output = self.tensor(f"{name}/{number}", shape, GRID)
        self.builder.operator(name, inputs, [output], options, version)
        self._sizes.append(int(np.prod(shape)))
        self._parts.append(self.tensor(f"flat{number}", (1, self._sizes[-1]), GRID))
        flatten = schema.ReshapeOptionsT()
        flatten.newShape = [1, self._sizes[-1]]
        self.builder.operator("RESHAPE", [output], [self._parts[-1]], flatten)

    def pack(self) -> bytes:
        output = self.tensor("output", (1, sum(self._sizes)), GRID)
        options = schema.ConcatenationOptionsT()
        options.axis = 1
        self.builder.operator("CONCATENATION", self._parts, [output], options, version=2)
        return self.builder.pack([("input", self.source)], [("output", output)], "test")


def many_kernels() -> tuple[bytes, np.ndarray]:
    """Return the model, and an input with every integer."""
    model = _Model()
    _sums(model)
    _functions(model)
    _windows(model)
    return model.pack(), model.random.permutation(np.prod(SHAPE)) % 256 - 128


def _sums(model: _Model) -> None:
    for number, grid in enumerate(OTHERS):
        other = model.constant(f"constant{number}", model.random.integers(-128, 128, SHAPE), grid)
        model.add("ADD", [model.source, other], schema.AddOptionsT())
        model.add("SUB", [other, model.source], schema.SubOptionsT())
        requantised = model.tensor(f"requantised{number}", SHAPE, grid)
        model.builder.operator("QUANTIZE", [model.source], [requantised], schema.QuantizeOptionsT(), version=2)
        model.add("QUANTIZE", [requantised], schema.QuantizeOptionsT())
        model.add("RELU", [requantised], None)
        model.add("RELU6", [requantised], None)


def _functions(model: _Model) -> None:
    for alpha in (0.5, 0.125, -0.25):
        options = schema.LeakyReluOptionsT()
        options.alpha = alpha
        model.add("LEAKY_RELU", [model.source], options)
    slopes = model.constant("slopes", np.asarray([64, -32, 3, 1]).reshape(1, 1, 4), (1 / 128, 0))
    model.add("PRELU", [model.source, slopes], None, version=1)


def _windows(model: _Model) -> None:
    pool = schema.Pool2DOptionsT()
    pool.filterHeight = pool.filterWidth = 2
    resize = schema.ResizeBilinearOptionsT()
    resize.halfPixelCenters = True
    conv, depthwise, transposed = (
        schema.Conv2DOptionsT(),
        schema.DepthwiseConv2DOptionsT(),
        schema.TransposeConvOptionsT(),
    )
    for options in (pool, conv, depthwise):
        options.strideH = options.strideW = 1
    transposed.strideH = transposed.strideW = 2
    model.add("AVERAGE_POOL_2D", [model.source], pool)
    model.add("RESIZE_BILINEAR", [model.source, model.sizes("larger", 32, 48)], resize, 3, (1, 32, 48, 4))
    model.add("CONV_2D", [model.source, *model.weights("conv", (4, 3, 3, 4), 0)], conv, 3)
    model.add("DEPTHWISE_CONV_2D", [model.source, *model.weights("depthwise", (1, 3, 3, 4), 3)], depthwise, 3)
    kernel, bias = model.weights("transposed", (4, 3, 3, 4), 0)
    inputs = [model.sizes("twice", 1, 32, 32, 4), kernel, model.source, bias]
    model.add("TRANSPOSE_CONV", inputs, transposed, 3, (1, 32, 32, 4))
