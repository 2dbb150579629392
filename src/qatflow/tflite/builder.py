"""Builds a .tflite file tensor by tensor and operator by operator (schema version 3)."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16  # the schema's force_align of Buffer.data, which flatbuffers' Python packer leaves out
SIGNATURE = "serving_default"

TYPES: dict[Any, int] = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


class ModelBuilder:
    """Collects tensors and operators of one subgraph and packs them."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[tuple[int, int]] = []
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is the empty one
        self._metadata: list[Any] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        scale: np.ndarray | None = None,
        axis: int = 0,
        data: np.ndarray | None = None,
        zero_point: int = 0,
    ) -> int:
        """Add a tensor and return its index.

        Args:
            name: shown by tools.
            shape: with the batch.
            dtype: NumPy type.
            scale: float32 [1] or [channels]. None for a tensor that is not quantised.
            axis: of the channels, if there is a scale per channel.
            data: contents of a constant.
            zero_point: the integer that stands for 0.
        """
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = TYPES[np.dtype(dtype)]
        tensor.hasRank = True
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(scale, np.float32)
            tensor.quantization.zeroPoint = np.full(len(scale), zero_point, np.int64)
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            tensor.buffer = self._buffer(np.ascontiguousarray(data, dtype).tobytes())
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None, version: int = 1
    ) -> None:
        """Add an operator.

        Args:
            name: of the builtin operator, as `CONV_2D`.
            inputs: indices of tensors; −1 for an optional one that is missing.
            outputs: indices of tensors.
            options: options object of the schema's object API, or None.
            version: of the operator: the oldest that supports what is used, so that older run-times accept it.
        """
        code = (getattr(schema.BuiltinOperator, name), version)
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self._operators.append(operator)

    def metadata(self, name: str, content: bytes) -> None:
        """Add a named blob, which run-times ignore."""
        entry = schema.MetadataT()
        entry.name = name
        entry.buffer = self._buffer(content)
        self._metadata.append(entry)

    def pack(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]], description: str) -> bytes:
        """Return the file's bytes.

        Args:
            inputs: name and tensor index of each input, in order.
            outputs: the same of the outputs.
            description: what made the model.
        """
        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors = self._tensors
        subgraph.operators = self._operators
        subgraph.inputs = np.asarray([index for _, index in inputs], np.int32)
        subgraph.outputs = np.asarray([index for _, index in outputs], np.int32)
        model = schema.ModelT()
        model.version = 3
        model.description = description
        model.operatorCodes = [_operator_code(*code) for code in self._codes]
        model.subgraphs = [subgraph]
        model.buffers = self._buffers
        model.metadata = self._metadata
        model.signatureDefs = [signature(inputs, outputs)]
        return packed(model)

    def _buffer(self, content: bytes) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(content, np.uint8)
        self._buffers.append(buffer)
        return len(self._buffers) - 1


def packed(model: Any) -> bytes:
    """Return the bytes of the file of a `ModelT`."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


class _AlignedBuilder(flatbuffers.Builder):
    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
        if x.dtype == np.uint8:
            self.Prep(BUFFER_ALIGNMENT, x.nbytes)
        return int(super().CreateNumpyVector(x))


def _operator_code(code: int, version: int) -> Any:
    entry = schema.OperatorCodeT()
    entry.builtinCode = code
    entry.deprecatedBuiltinCode = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    entry.version = version
    return entry


def signature(inputs: Sequence[tuple[str, int]], outputs: Sequence[tuple[str, int]]) -> Any:
    """Return a `SignatureDefT`, by which LiteRT names inputs and outputs; arguments as `ModelBuilder.pack`."""
    definition = schema.SignatureDefT()
    definition.signatureKey = SIGNATURE
    definition.inputs = [_tensor_map(*entry) for entry in inputs]
    definition.outputs = [_tensor_map(*entry) for entry in outputs]
    return definition


def _tensor_map(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = index
    return entry
