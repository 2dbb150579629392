"""Reads a .tflite file: its operators, and the types, scales and contents of their tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.tflite.packing import unpack_integers

WEIGHTED = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 0, "FULLY_CONNECTED": 0, "TRANSPOSE_CONV": 2}
"""Operators with a kernel, which is their second input and comes before a bias; and which input is the tensor."""
FLOAT_ONLY_METADATA = "qatflow float only"
"""Name of the blob with the layers that stay in float, one a line: what has no int8 form, or rescales pictures."""

WIDE_FORM = "/wide"
"""Ends the name of an int16 tensor that is rounded to 8 bits at once: `graph/operator_bits.py`."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        name: as stored.
        shape: with the batch.
        dtype: type of its values.
        scale: float32 [1] or [channels]; empty if it is not quantised.
        zero_point: int64, as many as there are scales.
        axis: of the channels, if there is a scale per channel.
        data: contents of a constant, int8 for INT4; None for other tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    data: np.ndarray | None


@dataclass(frozen=True)
class Operator:
    """An operator.

    Attributes:
        name: the builtin name.
        version: of the operator.
        inputs: its tensors; None for an optional one that is left out.
        outputs: its tensors.
        activation: the activation at its end: NONE, RELU, RELU6, …
    """

    name: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    activation: str = "NONE"

    @property
    def source(self) -> Tensor | None:
        """The tensor that it reads, the first if there are several."""
        return self.inputs[WEIGHTED.get(self.name, 0)]

    @property
    def kernel(self) -> Tensor | None:
        """Its kernel; None where it has none."""
        return self.inputs[1] if self.name in WEIGHTED else None

    @property
    def bias(self) -> Tensor | None:
        """Its bias; None where it has none."""
        place = max(WEIGHTED.get(self.name, 0), 1) + 1
        return self.inputs[place] if self.name in WEIGHTED and len(self.inputs) > place else None


def operators(content: bytes) -> list[Operator]:
    """Return the operators of the first subgraph, in order of execution."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraph = model.subgraphs[0]
    tensors = [_tensor(entry, model) for entry in subgraph.tensors]
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in subgraph.operators]
    return [
        Operator(
            OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)],
            code.version,
            tuple(tensors[i] if i >= 0 else None for i in operator.inputs),
            tuple(tensors[i] for i in operator.outputs),
            ACTIVATION_NAMES[getattr(operator.builtinOptions, "fusedActivationFunction", 0)],
        )
        for code, operator in zip(codes, subgraph.operators, strict=True)
    ]


def operators_of_file(content: bytes, name: str) -> list[Operator]:
    """Return the operators of a file that may be damaged.

    Args:
        content: of the file.
        name: of the file, for the message.

    Raises:
        UserError: it is no .tflite file, or damaged.
    """
    if content[4:8] != b"TFL3":
        raise UserError(f"{name} is not a .tflite file")
    try:
        return operators(content)
    except Exception as error:  # flatbuffers raises many kinds for damaged files
        raise UserError(f"{name} is damaged ({error}): fetch or make it again") from error


def inputs(content: bytes) -> list[Tensor]:
    """Return the inputs of the first subgraph."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraph = model.subgraphs[0]
    return [_tensor(subgraph.tensors[index], model) for index in subgraph.inputs]


def probabilities_end(content: bytes) -> list[str]:
    """Return the names of the tensors at the end of a model with one output: softmax or sigmoids, reshapes behind it.

    The list is empty if the model ends in something else.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraph = model.subgraphs[0]
    made_by = {int(index): operator for operator in subgraph.operators for index in operator.outputs}
    place, names = int(subgraph.outputs[0]), []
    while place in made_by:
        code = model.operatorCodes[made_by[place].opcodeIndex]
        kind = OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        names.append(str(subgraph.tensors[place].name, "utf-8"))
        if kind in ("SOFTMAX", "LOGISTIC"):
            return names
        if kind != "RESHAPE":
            break
        place = int(made_by[place].inputs[0])
    return []


def float_only(content: bytes) -> list[str]:
    """Return the names of the layers that stay in float, as `lower` wrote them; tensors `<name>/…` are theirs."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    blobs = [model.buffers[e.buffer].data for e in model.metadata or [] if e.name == FLOAT_ONLY_METADATA.encode()]
    return [name for blob in blobs for name in bytes(blob).decode().split("\n")]


def _names(enum: type) -> Mapping[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
ACTIVATION_NAMES = _names(schema.ActivationFunctionType)
TYPE_NAMES = _names(schema.TensorType)
NUMPY_TYPES = {
    "FLOAT32": np.float32, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
}  # fmt: skip


def _tensor(entry: Any, model: Any) -> Tensor:
    dtype = TYPE_NAMES[entry.type]
    shape = tuple(int(n) for n in entry.shape) if entry.shape is not None else ()
    quantization = entry.quantization
    scale = getattr(quantization, "scale", None)
    zero_point = getattr(quantization, "zeroPoint", None)
    raw = model.buffers[entry.buffer].data
    data = None
    if raw is not None and len(raw) and dtype == "INT4":
        data = unpack_integers(np.asarray(raw, np.uint8).tobytes(), prod(shape), 4).reshape(shape)
    elif raw is not None and len(raw) and dtype in NUMPY_TYPES:
        data = np.asarray(raw, np.uint8).view(NUMPY_TYPES[dtype]).reshape(shape)
    return Tensor(
        entry.name.decode(),
        shape,
        dtype,
        np.asarray([] if scale is None else scale, np.float32),
        np.asarray([] if zero_point is None else zero_point, np.int64),
        int(getattr(quantization, "quantizedDimension", 0) or 0),
        data,
    )
