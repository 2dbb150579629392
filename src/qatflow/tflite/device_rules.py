"""Rules by which the program on the device refuses a .tflite file before LiteRT sees it, and what LiteRT gets wrong.

The first are the rules of `demo/cxx/mobile_light/model_check.cc` and `light_predictor.cc` that an undamaged file can
break, checked here so that the problem is known before the file is sent. LiteRT's int16 depthwise convolution reads
packed weights as int8, and its int16 means and average pools overflow int32 where they add up too many values. It
reports neither.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.graph.operator_bits import MOST_AVERAGED

VERSION = 3
MOST_DIMENSIONS = 8
MOST_ELEMENTS = 1 << 26
PACKED = {schema.TensorType.INT4: 4, schema.TensorType.INT2: 2}
"""Bits of the types of which a byte holds several."""
ZERO_POINTS = {schema.TensorType.INT8: (-128, 127), schema.TensorType.UINT8: (0, 255)}


def broken_rules(content: bytes) -> list[str]:
    """Return a line for each rule that a .tflite file breaks, with the tensor; empty if the device accepts it."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if model.version != VERSION:
        return [f"it has version {model.version} of the .tflite format, but the device reads version {VERSION}"]
    graph = model.subgraphs[0]
    broken = [line for tensor in graph.tensors for line in _tensor(tensor)]
    for kind, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if len(tensors) != 1:
            broken.append(f"it has {len(tensors)} {kind}, but the device takes one")
    computed = {int(index) for operator in graph.operators for index in operator.outputs}
    missing = [i for i in graph.outputs if int(i) not in computed]
    broken += [line for operator in graph.operators for line in _read_wrongly(model, operator)]
    return [*broken, *(f"no operator computes its output {_name(graph.tensors[i])}" for i in missing)]


def _read_wrongly(model: Any, operator: Any) -> Iterator[str]:
    code = model.operatorCodes[operator.opcodeIndex]
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    tensors = model.subgraphs[0].tensors
    inputs = [tensors[int(index)] for index in operator.inputs if index >= 0]
    if not inputs or inputs[0].type != schema.TensorType.INT16:
        return
    output = tensors[int(operator.outputs[0])]
    if kind == schema.BuiltinOperator.DEPTHWISE_CONV_2D and inputs[1].type in PACKED:
        yield (
            f"{_name(output)} has weights stored in {PACKED[inputs[1].type]} bits and activations "
            "of 16, and LiteRT reads such weights wrongly in DEPTHWISE_CONV_2D: store them as int8"
        )
    averaged = _averaged(kind, operator.builtinOptions, inputs[0].shape, output.shape)
    if averaged > MOST_AVERAGED:
        yield (
            f"{_name(output)} is the mean of {averaged} values of int16, and LiteRT's int32 sum holds at most "
            f"{MOST_AVERAGED}: give it 8 bits"
        )


def _averaged(kind: int, options: Any, source: Any, output: Any) -> int:
    """Return how many values each value of an output is the mean of, at most; 0 if of none."""
    if kind == schema.BuiltinOperator.MEAN:
        return prod(map(int, source)) // max(1, prod(map(int, output)))
    if kind == schema.BuiltinOperator.AVERAGE_POOL_2D:
        return min(options.filterHeight, int(source[1])) * min(options.filterWidth, int(source[2]))
    return 0


def _tensor(tensor: Any) -> Iterator[str]:
    shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    if len(shape) > MOST_DIMENSIONS:
        yield f"{_name(tensor)} has {len(shape)} dimensions, but the device takes at most {MOST_DIMENSIONS}"
    if prod(max(size, 1) for size in shape) > MOST_ELEMENTS:
        yield f"{_name(tensor)} has more than 2^26 elements: use smaller pictures (data.preprocessing.size)"
    quantization = tensor.quantization
    scale = getattr(quantization, "scale", None)
    scales = np.asarray([] if scale is None else scale, np.float32)
    if not (np.isfinite(scales) & (scales >= np.finfo(np.float32).tiny)).all():
        yield f"{_name(tensor)} has a scale that is not above 0"
    zero_point = getattr(quantization, "zeroPoint", None)
    low, high = ZERO_POINTS.get(tensor.type, (-32768, 32767))
    zeros = np.asarray([] if zero_point is None else zero_point, np.int64)
    if ((zeros < low) | (zeros > high)).any():
        yield f"{_name(tensor)} has a zero point outside the range of its integers"


def _name(tensor: Any) -> str:
    return str(tensor.name.decode())
