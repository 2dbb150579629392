"""A model cut at an inner tensor: the same file, with another tensor as its output.

Only the numbers that say which tensor is the output are changed, in place: weights keep their bytes and operators their
order, and what follows the tensor stays, unused. So what the cut model computes is what the whole one computes there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

TENSOR_INDEX_SLOT = 6  # of schema.TensorMap
OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}


@dataclass(frozen=True)
class Place:
    """A tensor that an operator makes.

    Attributes:
        tensor: its index in the file.
        name: its name in the file.
        operator: builtin name of the operator that makes it.
        number: of that operator in order of execution, from 1.
        operators: how many there are.
    """

    tensor: int
    name: str
    operator: str
    number: int
    operators: int


def cut_at(content: bytes, tensor: int) -> bytes:
    """Return the .tflite file `content`, of one output, with the tensor of that index as its output."""
    buffer = bytearray(content)
    root = schema.Model.GetRootAs(buffer)
    for i in range(root.SignatureDefsLength()):
        entry = root.SignatureDefs(i).Outputs(0)
        position = entry._tab.Pos + entry._tab.Offset(TENSOR_INDEX_SLOT)
        np.frombuffer(buffer, "<u4", 1, position)[0] = tensor
    root.Subgraphs(0).OutputsAsNumpy()[0] = tensor
    return bytes(buffer)


def places(content: bytes) -> list[Place]:
    """Return the tensors at which a .tflite file can be cut, in order of execution."""
    root = schema.Model.GetRootAs(content)
    graph = root.Subgraphs(0)
    count = graph.OperatorsLength()
    return [
        Place(int(tensor), str(graph.Tensors(tensor).Name(), "utf-8"), _name(root, graph.Operators(i)), i + 1, count)
        for i in range(count)
        for tensor in graph.Operators(i).OutputsAsNumpy()
    ]


def _name(root: Any, operator: Any) -> str:
    code = root.OperatorCodes(operator.OpcodeIndex())
    return OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
