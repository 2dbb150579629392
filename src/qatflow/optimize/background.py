"""Removes a classifier's first class: in TensorFlow's official models it is a background that no picture shows."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.tflite.builder import packed


def without_background(content: bytes, where: str) -> bytes:
    """Return the .tflite file with one more operator, a SLICE that drops the first output value.

    Everything else stays as it is; the other values are not scaled up.

    Args:
        content: a model with one output, [1, classes] of any type.
        where: the file, for messages.

    Raises:
        UserError: the output has another shape.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    old = graph.outputs[0]
    source = graph.tensors[old]
    shape = [int(n) for n in source.shape]
    if len(graph.outputs) != 1 or len(shape) != 2 or shape[1] < 2:
        raise UserError(f"{where}: its output has shape {tuple(shape)}, but must have (1, classes) to drop a class")
    wanted = [shape[0], shape[1] - 1]
    begin, size = (
        _add(model, f"background/{name}", [2], schema.TensorType.INT32, np.asarray(values, np.int32))
        for name, values in (("begin", [0, 1]), ("size", wanted))
    )
    new = _add(model, "background/classes", wanted, source.type)
    graph.tensors[new].quantization = source.quantization
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SLICE
    code.version = 2 if source.type in (schema.TensorType.INT8, schema.TensorType.UINT8) else 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = np.asarray([old, begin, size], np.int32), np.asarray([new], np.int32)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.SliceOptions, schema.SliceOptionsT()
    graph.operators.append(operator)
    graph.outputs = np.asarray([new], np.int32)
    for signature in model.signatureDefs or []:
        for entry in signature.outputs:
            entry.tensorIndex = new
    return packed(model)


def _add(model: Any, name: str, shape: list[int], kind: int, data: np.ndarray | None = None) -> int:
    """Add a tensor, which is a constant if there is `data`; return its index."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, np.asarray(shape, np.int32), kind
    tensor.buffer = 0
    if data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1
