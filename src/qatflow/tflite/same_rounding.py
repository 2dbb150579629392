"""A quantised .tflite model with scales at which ARM and x86 round alike; see `graph/device_rounding.py`."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.graph.device_rounding import settle
from qatflow.tflite.builder import packed
from qatflow.tflite.read import Operator, operators
from qatflow.tflite.rounding import rounding_checks

ONE_GRID = (
    "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "PAD", "PADV2", "MAX_POOL_2D", "AVERAGE_POOL_2D", "REDUCE_MAX",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "STRIDED_SLICE", "CONCATENATION", "MAXIMUM", "MINIMUM",
)  # fmt: skip
"""Operators whose int8 kernels read and write in one scale."""
FIXED_GRID = ("LOGISTIC", "TANH", "SOFTMAX")


def with_same_rounding(content: bytes) -> bytes:
    """Return the model with scales at which ARM and x86 round alike, where there are any; else the same bytes.

    Biases and constants keep their real values. Every other integer stays as it is.

    Args:
        content: a model whose tensors have names of their own.
    """
    every = operators(content)
    keys = _keys(every)
    before: dict[Hashable, float] = {
        keys[tensor.name]: float(tensor.scale[0])
        for operator in every
        for tensor in (*operator.inputs, *operator.outputs)
        if tensor is not None and tensor.name in keys
    }
    after = dict(before)
    fixed = {keys[o.outputs[0].name] for o in every if o.name in FIXED_GRID and o.outputs[0].name in keys}
    settle(after, rounding_checks(every, keys, frozenset(fixed)))
    factors = {name: after[key] / before[key] for name, key in keys.items() if after[key] != before[key]}
    if not factors:
        return content
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    _rescale(model, every, factors, {name: after[key] for name, key in keys.items()})
    return packed(model)


def _keys(every: Iterable[Operator]) -> dict[str, Hashable]:
    """Return a key of each int8 tensor with one scale, by name; tensors that need the same scale share it."""
    every = list(every)
    keys: dict[str, Hashable] = {
        tensor.name: tensor.name
        for operator in every
        for tensor in (*operator.inputs, *operator.outputs)
        if tensor is not None and tensor.dtype == "INT8" and tensor.scale.size == 1 and tensor is not operator.kernel
    }
    for operator in every:
        names = [t.name for t in (*operator.inputs, *operator.outputs) if t is not None and t.name in keys]
        if operator.name in ONE_GRID and names:
            joined = {keys[name] for name in names}
            keys |= {name: keys[names[0]] for name, key in keys.items() if key in joined}
    return keys


def _rescale(model: Any, every: Iterable[Operator], factors: Mapping[str, float], scales: Mapping[str, float]) -> None:
    tensors = {tensor.name.decode(): tensor for tensor in model.subgraphs[0].tensors}
    read = {t.name: t for operator in every for t in (*operator.inputs, *operator.outputs) if t is not None}
    for name, factor in factors.items():
        tensor = tensors[name]
        tensor.quantization.scale = np.asarray([scales[name]], np.float32)
        if read[name].data is not None:
            zero_point = int(read[name].zero_point[0])
            _write(model, tensor, np.clip(_rounded(read[name].data, zero_point, factor), -128, 127), np.int8)
    biases = {
        operator.bias.name: (operator.bias, factors[operator.source.name])
        for operator in every
        if operator.bias is not None and operator.source is not None and operator.source.name in factors
    }
    for name, (bias, factor) in biases.items():
        tensors[name].quantization.scale = (bias.scale * factor).astype(np.float32)
        _write(model, tensors[name], _rounded(bias.data, 0, factor), np.int32)


def _rounded(integers: np.ndarray | None, zero_point: int, factor: float) -> np.ndarray:
    assert integers is not None
    return np.rint((integers.astype(np.float64) - zero_point) / factor) + zero_point


def _write(model: Any, tensor: Any, values: np.ndarray, dtype: type) -> None:
    data = np.frombuffer(values.astype(dtype).tobytes(), np.uint8)
    if sum(other.buffer == tensor.buffer for other in model.subgraphs[0].tensors) > 1:
        model.buffers.append(schema.BufferT())
        tensor.buffer = len(model.buffers) - 1
    model.buffers[tensor.buffer].data = data
