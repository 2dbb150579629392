"""A float .tflite model executed operator by operator, so that single layers can be exchanged for quantised ones.

Each operator is a model of its own, run by LiteRT. A layer that is quantised has other weights, and its output goes
through QUANTIZE and DEQUANTIZE: that is fake quantisation, as in training. What an exchanged layer does not reach is
not computed again.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.tflite.builder import packed

Values = dict[str, np.ndarray]
"""Tensors of one picture, float32 with a batch of 1, by name."""


@dataclass(frozen=True, eq=False)
class Form:
    """How a layer is computed where it is quantised.

    Attributes:
        weights: real values of the integers of its constants, float32 in the file's layout, by their place among the
            operator's inputs; the others are those of the float model.
        grid: step and zero point of its output; None: the output is not rounded.
        dtype: type of the integers of the output, INT8 or INT16.
    """

    weights: Mapping[int, np.ndarray] = field(default_factory=dict)
    grid: tuple[float, int] | None = None
    dtype: str = "INT8"


@dataclass(frozen=True)
class Step:
    """An operator of the float model.

    Attributes:
        output: name of its tensor.
        inputs: names of the tensors that it reads, without constants.
        place: in the file.
    """

    output: str
    inputs: tuple[str, ...]
    place: int


Choice = Mapping[str, int]
"""Which of its forms each layer has, by the name of its tensor; a layer that is not named computes in float."""


@dataclass
class Stepwise:
    """A float model whose layers can be exchanged one by one; one picture at a time, one thread.

    Attributes:
        content: the .tflite file: float, with a batch of 1, each operator with one output.
        forms: the quantised forms of layers, by the name of their tensor; that of the input has a grid alone.
        end: name of the tensor to compute last; the others behind it are left out.
    """

    content: bytes
    forms: Mapping[str, Sequence[Form]]
    end: str
    _programs: dict[tuple[str, int | None], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the file."""
        self._model = schema.ModelT.InitFromPackedBuf(self.content, 0)
        graph = self._model.subgraphs[0]
        self._names = [tensor.name.decode() for tensor in graph.tensors]
        self.input = self._names[int(graph.inputs[0])]
        self.steps: list[Step] = []
        for place, operator in enumerate(graph.operators):
            moving = [int(i) for i in operator.inputs if i >= 0 and self._constant(int(i)) is None]
            (output,) = map(int, operator.outputs)
            self.steps.append(Step(self._names[output], tuple(dict.fromkeys(self._names[i] for i in moving)), place))
            if self._names[output] == self.end:
                break

    def run(self, picture: np.ndarray, choice: Choice, known: tuple[Choice, Values] | None = None) -> Values:
        """Return the tensors of a picture.

        Args:
            picture: float32, without the batch.
            choice: the form of each layer that is quantised.
            known: another choice, and the picture's tensors with it; of these, what is the same is taken over.
        """
        before, values = (None, {}) if known is None else (known[0], dict(known[1]))
        changed: set[str] = set()
        for name, inputs, step in ((self.input, (), None), *((step.output, step.inputs, step) for step in self.steps)):
            form = choice.get(name)
            if before is not None and before.get(name) == form and changed.isdisjoint(inputs):
                continue
            if step is not None:
                values[name] = self._run(step, form, [values[source] for source in inputs])
            else:
                values[name] = picture[None] if form is None else rounded(picture[None], self.forms[name][form])
            changed.add(name)
        return values

    def _run(self, step: Step, form: int | None, inputs: Sequence[np.ndarray]) -> np.ndarray:
        key = (step.output, form)
        if key not in self._programs:
            self._programs[key] = _Program(self._single(step, None if form is None else self.forms[step.output][form]))
        result: np.ndarray = self._programs[key].run(inputs)
        return result

    def _constant(self, index: int) -> Any:
        return self._model.buffers[self._model.subgraphs[0].tensors[index].buffer].data

    def _single(self, step: Step, form: Form | None) -> bytes:
        """Return the .tflite model of one operator, followed by the rounding of its output where that has a grid."""
        graph = self._model.subgraphs[0]
        operator = copy(graph.operators[step.place])
        code = self._model.operatorCodes[operator.opcodeIndex]
        weights = {} if form is None else form.weights
        replaced = {int(operator.inputs[place]): values for place, values in weights.items()}
        new: dict[int, int] = {}
        tensors: list[Any] = []
        buffers: list[Any] = [schema.BufferT()]
        for index in dict.fromkeys(map(int, [*operator.inputs, *operator.outputs])):
            if index < 0:
                continue
            tensor = copy(graph.tensors[index])
            data = self._constant(index)
            if index in replaced:
                data = np.frombuffer(np.ascontiguousarray(replaced[index], np.float32).tobytes(), np.uint8)
            tensor.buffer = 0
            if data is not None:
                tensor.buffer = len(buffers)
                buffers.append(schema.BufferT())
                buffers[-1].data = data
            new[index] = len(tensors)
            tensors.append(tensor)
        operator.inputs = np.asarray([new.get(int(index), -1) for index in operator.inputs], np.int32)
        operator.outputs = np.asarray([new[int(operator.outputs[0])]], np.int32)
        operator.opcodeIndex = 0
        place_of = {self._names[index]: place for index, place in new.items()}
        codes, operators, end = [code], [operator], int(operator.outputs[0])
        if form is not None and form.grid is not None:
            end = _append_rounding(form, tensors, codes, operators, end)
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = tensors, operators
        subgraph.inputs = np.asarray([place_of[name] for name in step.inputs], np.int32)
        subgraph.outputs = np.asarray([end], np.int32)
        model = schema.ModelT()
        model.version, model.description = 3, "qatflow: one operator"
        model.operatorCodes, model.subgraphs, model.buffers = codes, [subgraph], buffers
        return packed(model)


def rounded(values: np.ndarray, form: Form) -> np.ndarray:
    """Return the real values of a tensor's integers, float32: rounded to the nearest, ties to even, and clipped."""
    assert form.grid is not None
    scale, zero_point = np.float32(form.grid[0]), form.grid[1]
    limits = np.iinfo(np.dtype(form.dtype.lower()))
    integers = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max)
    return ((integers - zero_point) * scale).astype(np.float32)


class _Program:
    """A model of one operator, loaded."""

    def __init__(self, content: bytes):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = [details["index"] for details in self._interpreter.get_input_details()]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the output for the operator's inputs."""
        for index, values in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, values)
        self._interpreter.invoke()
        output: np.ndarray = self._interpreter.get_tensor(self._output)
        return output


def _append_rounding(form: Form, tensors: list[Any], codes: list[Any], operators: list[Any], source: int) -> int:
    """Append QUANTIZE and DEQUANTIZE; return the place of the last tensor."""
    assert form.grid is not None
    integers, real = copy(tensors[source]), copy(tensors[source])
    integers.name, real.name = b"integers", b"rounded"
    integers.type = getattr(schema.TensorType, form.dtype)
    integers.quantization = schema.QuantizationParametersT()
    integers.quantization.scale = np.asarray(form.grid[:1], np.float32)
    integers.quantization.zeroPoint = np.asarray(form.grid[1:], np.int64)
    for kind, tensor in (("QUANTIZE", integers), ("DEQUANTIZE", real)):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = 2
        operator = schema.OperatorT()
        operator.opcodeIndex = len(codes)
        operator.inputs = np.asarray([source], np.int32)
        source = len(tensors)
        operator.outputs = np.asarray([source], np.int32)
        codes.append(code)
        operators.append(operator)
        tensors.append(tensor)
    return source
