"""Kernels of up to 4 bits as INT4 tensors of a .tflite file, two integers a byte, the first one in the lower half.

The integers are the same as in int8. LiteRT's own kernels unpack them and then give the bits that they give for int8.
XNNPACK, which rounds its sums differently, takes INT4 in dense layers alone. So a convolution with an INT4 kernel may
differ by a step from the same one in int8, and one on ARM, where LiteRT has other kernels, from one on x86.
"""

from collections.abc import Collection, Iterable
from copy import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.tflite.builder import packed
from qatflow.tflite.packing import least_bits, pack_integers
from qatflow.tflite.read import OPERATOR_NAMES, Operator, inputs, operators
from qatflow.tflite.tensors import Tensors

BITS = 4
INT4 = "INT4"
"""Name of the type."""
VERSIONS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
"""Oldest version of each operator that reads such kernels (LiteRT's `op_version.cc`); no other operator does."""
UNPACKED = ("CONV_2D", "DEPTHWISE_CONV_2D")
"""Of these, the ones that XNNPACK leaves to LiteRT's own kernels."""
COMPARED = 3


def with_int4_kernels(content: bytes, kernels: Collection[str]) -> tuple[bytes, list[str]]:
    """Return a .tflite file with some kernels stored as INT4, and the names of these.

    Args:
        content: the file, with each kernel stored as int8 and read by one operator.
        kernels: names of tensors with integers of up to 4 bits; those that are not the kernel of an operator that reads
            INT4 stay as they are.

    Raises:
        ValueError: integers of one of these have more bits (`graph.bias_steps.with_least_integers` has the least).
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    stored = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name not in VERSIONS:
            continue
        kernel = graph.tensors[operator.inputs[1]]
        if kernel.name.decode() not in kernels or kernel.type != schema.TensorType.INT8:
            continue
        buffer = model.buffers[kernel.buffer]
        integers = np.asarray(buffer.data).view(np.int8)
        if least_bits(integers) > BITS:
            raise ValueError(f"{kernel.name.decode()}: its integers do not fit INT4")
        buffer.data = np.frombuffer(pack_integers(integers, BITS), np.uint8)
        kernel.type = schema.TensorType.INT4
        operator.opcodeIndex = _code(model, code, VERSIONS[name])
        stored.append(kernel.name.decode())
    return (packed(model), stored) if stored else (content, [])


def _code(model: Any, code: Any, version: int) -> int:
    """Return the place of an operator's code with at least that version, which is added where it is missing."""
    wanted = max(code.version, version)
    for place, other in enumerate(model.operatorCodes):
        if (other.builtinCode, other.deprecatedBuiltinCode, other.version) == (
            code.builtinCode,
            code.deprecatedBuiltinCode,
            wanted,
        ):
            return place
    added = copy(code)
    added.version = wanted
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1


def unpacked_at_each_call(every: Iterable[Operator]) -> list[Operator]:
    """Return a model's convolutions with INT4 kernels."""
    convolutions = [operator for operator in every if operator.name in UNPACKED]
    return [one for one in convolutions if one.kernel is not None and one.kernel.dtype == INT4]


def rounds_by_machine(every: Iterable[Operator]) -> bool:
    """Return whether a model has int8 convolutions with INT4 kernels, which ARM and x86 round differently."""
    return any(operator.outputs[0].dtype == "INT8" for operator in unpacked_at_each_call(every))


def check_same_outputs(int8: bytes, int4: bytes) -> None:
    """Raise unless LiteRT's own kernels give the same bits for both files: every integer is read as it was written.

    Args:
        int8: a model with one input, float32.
        int4: the same with kernels stored as INT4.

    Raises:
        UserError: an output differs for a random picture; names the first tensor that does.
    """
    before, after = Tensors(int8), Tensors(int4)
    shape, names = inputs(int8)[0].shape[1:], [operator.outputs[0].name for operator in operators(int8)]
    random = np.random.default_rng(0)
    for _ in range(COMPARED):
        picture = random.uniform(-1, 1, shape).astype(np.float32)
        before.run(picture)
        after.run(picture)
        for name in names:
            if not np.array_equal(before.value(name), after.value(name), equal_nan=True):
                raise UserError(f"stored as INT4, the model computes another value at {name}; this is a bug")
