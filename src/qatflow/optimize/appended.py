"""A .tflite model with more operators behind its output; everything else stays as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.tflite.builder import packed

TYPES = {np.dtype(np.float32): schema.TensorType.FLOAT32, np.dtype(np.int32): schema.TensorType.INT32}


class AppendedModel:
    """A model with one output, to which operators are appended one by one.

    Attributes:
        output: the schema's tensor that is the output now.
    """

    def __init__(self, content: bytes) -> None:
        """Read the model from its bytes."""
        self._model = schema.ModelT.InitFromPackedBuf(content, 0)
        self._graph = self._model.subgraphs[0]
        self._output = int(self._graph.outputs[0])

    @property
    def output(self) -> Any:
        """The schema's tensor that is the output now."""
        return self._graph.tensors[self._output]

    def constant(self, name: str, data: np.ndarray) -> int:
        """Add a constant, float32 or int32; return its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return self._tensor(name, data.shape, TYPES[data.dtype], len(self._model.buffers) - 1)

    def append(
        self,
        operator: str,
        name: str,
        shape: Sequence[int],
        kind: int,
        options: Any,
        constants: Sequence[int] = (),
        version: int = 1,
        quantization: Any = None,
    ) -> None:
        """Add an operator that reads the output; its own output takes that place.

        Args:
            operator: its builtin name.
            name: of the new output.
            shape: of the new output, with the batch.
            kind: the new output's type, a schema.TensorType.
            options: of the operator, of the schema's object API.
            constants: indices of further inputs.
            version: of the operator.
            quantization: of the new output.
        """
        new = self._tensor(name, shape, kind, 0)
        self._graph.tensors[new].quantization = quantization
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, operator)
        code.version = version
        self._model.operatorCodes.append(code)
        added = schema.OperatorT()
        added.opcodeIndex = len(self._model.operatorCodes) - 1
        added.inputs = np.asarray([self._output, *constants], np.int32)
        added.outputs = np.asarray([new], np.int32)
        added.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        added.builtinOptions = options
        self._graph.operators.append(added)
        self._output = new

    def content(self) -> bytes:
        """Return the bytes of the model as it is now."""
        self._graph.outputs = np.asarray([self._output], np.int32)
        for signature in self._model.signatureDefs or []:
            for entry in signature.outputs:
                entry.tensorIndex = self._output
        return packed(self._model)

    def _tensor(self, name: str, shape: Sequence[int], kind: int, buffer: int) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, np.asarray(shape, np.int32), kind, buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1
