"""A .tflite model in the making: which tensors are integers and which float, and what lies between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.graph.families import FLOAT_ONLY, PASS_THROUGH
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.kinds import Shape
from qatflow.graph.operations import Input
from qatflow.graph.operator_bits import NARROW, WIDE, operator_bits, seen_in, written_in
from qatflow.graph.shapes import shapes
from qatflow.graph.silent_channels import least_scale
from qatflow.graph.store import integer_type
from qatflow.tflite.builder import ModelBuilder
from qatflow.tflite.int16 import version_of
from qatflow.tflite.read import WIDE_FORM


@dataclass(frozen=True)
class Grid:
    """Scale and zero point of an int8 or int16 tensor."""

    scale: float
    zero_point: int
    bits: int = NARROW

    @staticmethod
    def of(scale: ActivationScale) -> "Grid":
        """Return the grid of a tensor with a fixed scale."""
        assert scale.scale is not None
        return Grid(scale.scale, scale.zero_point, scale.bits)

    @property
    def dtype(self) -> type[np.signedinteger[Any]]:
        """Type of the integers."""
        return integer_type(self.bits)

    @property
    def steps(self) -> np.ndarray:
        """The scale as the file has it."""
        return np.asarray([self.scale], np.float32)


class Lowering:
    """A .tflite model under construction, to which the functions of `operators.LOWER` add each node.

    Attributes:
        graph: the graph.
        shapes: shape of each tensor, without the batch.
        builder: builds the file.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.shapes = shapes(graph)
        self.builder = ModelBuilder()
        self._float: dict[str, int] = {}
        self._integers: dict[str, int] = {}
        self._rounded: dict[str, int] = {}
        self._other_grids: dict[tuple[str, Grid], int] = {}
        self._grids: dict[str, Grid] = {
            name: Grid.of(s) for name, s in graph.activation_scales.items() if s.scale is not None
        }

    def pack(self, description: str, metadata: dict[str, bytes]) -> bytes:
        """Return the bytes of the file, once every node has been added; arguments as `lower.lower`."""
        for name, content in metadata.items():
            self.builder.metadata(name, content)
        inputs = [(n.name, self._float[n.name]) for n in self.graph.nodes if isinstance(n.operation, Input)]
        outputs = [(name, self.as_float(name)) for name in self.graph.outputs]
        return self.builder.pack(inputs, outputs, description)

    def shape(self, name: str) -> Shape:
        """Return the shape of a node's tensor, with the batch of 1."""
        return (1, *self.shapes[name])

    def as_float(self, name: str) -> int:
        """Return the tensor in float32; if it has a scale, with the rounded values that its readers saw in training."""
        if name not in self._grids:
            return self._float[name]
        if name not in self._rounded:
            source = self.as_integers(name)
            self._rounded[name] = self.builder.tensor(f"{name}/float", self.shape(name), np.float32)
            version = version_of("DEQUANTIZE", 2, self._grids[name].bits)
            self.builder.operator("DEQUANTIZE", [source], [self._rounded[name]], schema.DequantizeOptionsT(), version)
        return self._rounded[name]

    def as_integers(self, name: str, grid: Grid | None = None) -> int:
        """Return the tensor in integers, quantised if needed; with `grid`, in that scale, zero point and width."""
        if name not in self._integers:
            source, own = self._float[name], self._grids[name]
            index = self.new_integers(name, own)
            self.builder.operator(
                "QUANTIZE", [source], [index], schema.QuantizeOptionsT(), version_of("QUANTIZE", 1, own.bits)
            )
        return self._integers[name] if grid in (None, self._grids[name]) else self._requantised(name, grid)

    def _requantised(self, name: str, grid: Grid) -> int:
        key = (name, grid)
        if key not in self._other_grids:
            index = self._tensor(f"{name}/requantised{len(self._other_grids)}", self.shape(name), grid)
            self.builder.operator("QUANTIZE", [self._integers[name]], [index], schema.QuantizeOptionsT(), version=2)
            self._other_grids[key] = index
        return self._other_grids[key]

    def new_float(self, name: str) -> int:
        """Add the output tensor of a node in float32."""
        self._float[name] = self.builder.tensor(name, self.shape(name), np.float32)
        return self._float[name]

    def new_integers(self, name: str, grid: Grid) -> int:
        """Add the output tensor of a node in integers."""
        self._grids[name] = grid
        known = f"{name}/int{grid.bits}" if name in self._float else name
        self._integers[name] = self._tensor(known, self.shape(name), grid)
        return self._integers[name]

    def _tensor(self, name: str, shape: Shape, grid: Grid) -> int:
        return self.builder.tensor(name, shape, grid.dtype, grid.steps, zero_point=grid.zero_point)

    def integer_operator(
        self, node: Node, operator: str, inputs: list[int], grid: Grid, options: Any, int8_version: int
    ) -> None:
        """Add the integer operator whose output is a node's tensor; one in int16 may need another behind it.

        Args:
            node: the node.
            operator: builtin name.
            inputs: its tensors, in its width.
            grid: of the node's tensor.
            options: of the operator.
            int8_version: of the operator in int8.
        """
        bits = operator_bits(self.graph, node)
        version = version_of(operator, int8_version, bits)
        if bits == WIDE and hasattr(options, "potScaleInt16"):
            options.potScaleInt16 = False
        if bits == grid.bits:
            self.builder.operator(operator, inputs, [self.new_integers(node.name, grid)], options, version)
            return
        written = self._written(node, grid)
        wide = self._tensor(f"{node.name}{WIDE_FORM}", self.shape(node.name), written)
        self.builder.operator(operator, inputs, [wide], options, version)
        self.builder.operator("QUANTIZE", [wide], [self.new_integers(node.name, grid)], schema.QuantizeOptionsT(), 2)

    def _written(self, node: Node, grid: Grid) -> Grid:
        """Return the grid in which a node's integer operator writes its tensor, which has `grid`."""
        own = ActivationScale(grid.bits, grid.scale, grid.zero_point)
        return Grid.of(written_in(operator_bits(self.graph, node), node, own))

    def _read(self, node: Node, name: str) -> Grid:
        """Return the grid in which a node's integer operator reads a tensor."""
        own = self._grids[name]
        return Grid.of(seen_in(operator_bits(self.graph, node), ActivationScale(own.bits, own.scale, own.zero_point)))

    def constant(
        self, name: str, data: np.ndarray, scale: np.ndarray | None = None, axis: int = 0, zero_point: int = 0
    ) -> int:
        """Add a constant; arguments as `ModelBuilder.tensor`."""
        return self.builder.tensor(name, data.shape, data.dtype, scale, axis, data, zero_point)

    def integer_grid(self, node: Node) -> Grid | None:
        """Return the grid of a node's output if its operator runs in integers, else None."""
        sources = [self._grids.get(name) for name in node.inputs]
        grid = sources[0] if isinstance(node.operation, PASS_THROUGH) else self._grids.get(node.name)
        if node.name in self.graph.in_float or isinstance(node.operation, FLOAT_ONLY) or None in sources:
            return None
        return grid

    def grid(self, name: str) -> Grid:
        """Return the grid of a tensor that has one."""
        return self._grids[name]

    def simple(
        self,
        node: Node,
        operator: str,
        options: Any,
        extra: tuple[int, ...] = (),
        *,
        int8_version: int,
        float_version: int = 1,
        one_grid: bool = False,
        operand_first: bool = False,
    ) -> None:
        """Add an operator without weights: in integers if its output has a scale, or takes it from its input.

        Args:
            node: the node.
            operator: builtin name.
            options: of the operator.
            extra: constants that follow its inputs.
            int8_version: of the operator in int8.
            float_version: of the operator in float32.
            one_grid: whether the inputs must have the output's scale and zero point; others are then requantised.
            operand_first: whether a weight in the place of a second tensor is the operator's first input.
        """
        grid = self.integer_grid(node)
        if grid is not None:
            one = self._written(node, grid) if one_grid else None
            inputs = [self.as_integers(name, one or self._read(node, name)) for name in node.inputs]
            inputs = self._with_operand(node, inputs, operand_first, one)
            self.integer_operator(node, operator, [*inputs, *extra], grid, options, int8_version)
        else:
            inputs = [self.as_float(name) for name in node.inputs]
            inputs = self._with_operand(node, inputs, operand_first, in_float=True)
            self.builder.operator(operator, [*inputs, *extra], [self.new_float(node.name)], options, float_version)

    def _with_operand(
        self, node: Node, inputs: list[int], first: bool, grid: Grid | None = None, in_float: bool = False
    ) -> list[int]:
        """Return the inputs, with the weight in the place of a second tensor if there is one.

        Args:
            node: the node.
            inputs: its tensors.
            first: whether the weight comes first.
            grid: in which the weight is written in integers; None: in the scale that training gave it.
            in_float: whether it is written in float.
        """
        name = node.operand
        if name is None or name not in self.graph.weights:
            return inputs
        if in_float:
            index = self.constant(name, self.graph.real_weight(name).astype(np.float32))
        elif grid is not None:
            steps = np.rint(self.graph.real_weight(name).astype(np.float64) / grid.scale) + grid.zero_point
            limits = np.iinfo(grid.dtype)
            integers = np.clip(steps, limits.min, limits.max).astype(grid.dtype)
            index = self.constant(name, integers, grid.steps, zero_point=grid.zero_point)
        else:
            index = self.constant(name, self.graph.weights[name], self.graph.weight_scales[name].scale)
        return [index, *inputs] if first else [*inputs, index]

    def weighted(
        self,
        node: Node,
        operator: str,
        kernel: np.ndarray,
        axis: int,
        options: Any,
        *,
        int8_version: int,
        float_version: int = 1,
        size: int | None = None,
    ) -> None:
        """Add a convolution of any kind or a dense layer.

        Args:
            node: the node.
            operator: builtin name.
            kernel: in TensorFlow Lite's layout.
            axis: of the kernel's output channels.
            options: of the operator.
            int8_version: of the operator in int8.
            float_version: of the operator in float32.
            size: constant with the output's shape, for a transposed convolution, which reads it first.
        """

        def inputs(source: int, weights: list[int]) -> list[int]:
            return [source, *weights] if size is None else [size, weights[0], source, weights[1]]

        name = node.kernel
        assert name is not None
        source = node.inputs[0]
        channels = kernel.shape[axis]
        bias = self.graph.weights.get(node.weight("bias"), np.zeros(channels, np.float32))
        known = self.graph.weight_scales.get(name)
        if known is None:
            weights = [self.constant(name, kernel), self.constant(node.weight("bias"), bias)]
            read = inputs(self.as_float(source), weights)
            self.builder.operator(operator, read, [self.new_float(node.name)], options, float_version)
            return
        if source not in self._grids or node.name not in self._grids:
            raise UserError(f"{node.name}: its weights are int8 but its input or output has no scale")
        weights = self._integer_weights(node, name, kernel, axis, known.scale, bias)
        read = inputs(self.as_integers(source, self._read(node, source)), weights)
        self.integer_operator(node, operator, read, self._grids[node.name], options, int8_version)

    def weighted_in_integers(
        self,
        node: Node,
        operator: str,
        name: str,
        kernel: np.ndarray,
        axis: int,
        scale: np.ndarray,
        bias: np.ndarray,
        options: Any,
    ) -> None:
        """Add a convolution with integers that are not those of a kernel of the graph.

        Args:
            node: the node, whose input and output have grids.
            operator: builtin name.
            name: of the kernel in the file.
            kernel: int8, in TensorFlow Lite's layout.
            axis: of the kernel's output channels.
            scale: float32 [channels], of the kernel.
            bias: float32 [channels].
            options: of the operator.
        """
        weights = self._integer_weights(node, name, kernel, axis, scale, bias)
        source = node.inputs[0]
        inputs = [self.as_integers(source, self._read(node, source)), *weights]
        self.integer_operator(node, operator, inputs, self._grids[node.name], options, 3)

    def _integer_weights(
        self, node: Node, name: str, kernel: np.ndarray, axis: int, scale: np.ndarray, bias: np.ndarray
    ) -> list[int]:
        fitting = self._fitting(node, kernel, axis, bias, scale)
        read = self._read(node, node.inputs[0])
        step = fitting.astype(np.float64) * read.scale
        integers = np.rint(bias / step).astype(np.int64 if read.bits == WIDE else np.int32)
        return [
            self.constant(name, kernel, fitting, axis),
            self.constant(node.weight("bias"), integers, step.astype(np.float32)),
        ]

    def _fitting(self, node: Node, kernel: np.ndarray, axis: int, bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the scale, raised to what the kernels can run in channels whose weights are all zero.

        A single scale becomes one per channel if some have to be raised.
        """
        read, written = self._read(node, node.inputs[0]), self._written(node, self._grids[node.name])
        least = least_scale(bias, read.scale, written.scale, read.bits)
        small = np.flatnonzero(scale < least)
        if not small.size:
            return scale
        filled = [int(channel) for channel in small if np.take(kernel, channel, axis).any()]
        if filled:
            raise UserError(
                f"{node.name}: in the channels {filled} the kernel's scale is so small that the bias does not fit "
                f"int{64 if read.bits == WIDE else 32}; training sets such kernels to zero: train again"
            )
        raised = np.broadcast_to(scale, least.shape).copy()
        raised[small] = np.nextafter(least[small].astype(np.float32), np.float32(np.inf))
        return raised
