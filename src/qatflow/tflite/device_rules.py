"""What the program on the device refuses of a .tflite file before LiteRT sees it.

Of the rules in `demo/cxx/mobile_light/model_check.cc` and `light_predictor.cc` those that a file can break that is not
damaged: here, so that it is known before the file is sent.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

VERSION = 3
MOST_DIMENSIONS = 8
MOST_ELEMENTS = 1 << 26
ZERO_POINTS = {schema.TensorType.INT8: (-128, 127), schema.TensorType.UINT8: (0, 255)}


def broken_rules(content: bytes) -> list[str]:
    """Return a line for each rule that a .tflite file breaks, with the tensor's name; empty: the device takes it."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    if model.version != VERSION:
        return [f"it is of version {model.version} of the .tflite format, and version {VERSION} is read"]
    graph = model.subgraphs[0]
    found = [line for tensor in graph.tensors for line in _tensor(tensor)]
    for kind, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if len(tensors) != 1:
            found.append(f"it has {len(tensors)} {kind}, and the device takes one")
    made = {int(index) for operator in graph.operators for index in operator.outputs}
    found += [f"no operator makes {_name(graph.tensors[i])}, its output" for i in graph.outputs if int(i) not in made]
    return found


def _tensor(tensor: Any) -> Iterator[str]:
    shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    if len(shape) > MOST_DIMENSIONS:
        yield f"{_name(tensor)} has {len(shape)} dimensions, and the device takes {MOST_DIMENSIONS}"
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
        yield f"{_name(tensor)} has a zero point that is none of its integers"


def _name(tensor: Any) -> str:
    return str(tensor.name.decode())
