"""A model cut at an inner tensor: the same file, with another tensor as its output.

Only the indices of the output tensor are changed, in place. Weights keep their bytes and operators their order, and the
operators after the tensor stay, unused. So the cut model computes the same values as the whole one does there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.files import whole_file

TENSOR_INDEX_SLOT = 6  # of schema.TensorMap
OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)


@dataclass(frozen=True)
class CutPoint:
    """A tensor at which a model can be cut: an output of an operator.

    Attributes:
        tensor: its index in the file.
        name: its name in the file.
        operator: builtin name of the operator that computes it.
        number: position of that operator in order of execution, from 1.
        operators: number of operators in the model.
    """

    tensor: int
    name: str
    operator: str
    number: int
    operators: int


def cut_at(content: bytes, tensor: int) -> bytes:
    """Return the .tflite file `content`, which has one output, with the tensor of that index as its output."""
    buffer = bytearray(content)
    root = schema.Model.GetRootAs(buffer)
    for i in range(root.SignatureDefsLength()):
        entry = root.SignatureDefs(i).Outputs(0)
        position = entry._tab.Pos + entry._tab.Offset(TENSOR_INDEX_SLOT)
        np.frombuffer(buffer, "<u4", 1, position)[0] = tensor
    root.Subgraphs(0).OutputsAsNumpy()[0] = tensor
    return bytes(buffer)


def cut_points(content: bytes) -> list[CutPoint]:
    """Return the points at which a .tflite file can be cut, in order of execution."""
    root = schema.Model.GetRootAs(content)
    graph = root.Subgraphs(0)
    count = graph.OperatorsLength()
    return [
        CutPoint(int(tensor), str(graph.Tensors(tensor).Name(), "utf-8"), _name(root, graph.Operators(i)), i + 1, count)
        for i in range(count)
        for tensor in graph.Operators(i).OutputsAsNumpy()
    ]


def expose_integers(model: Path, output: Path) -> str | None:
    """Write to `output` the model with the last integer tensor as its output in place of the float one.

    The optimised model ends in DEQUANTIZE and a float SOFTMAX. Integer kernels give equal bits on every processor; the
    float exponentials of ARM and x86 differ in the last bit. Before them, values can be compared bit for bit.

    Args:
        model: a .tflite file with one output.
        output: the file to write.

    Returns:
        The name of that tensor; None, and nothing is written, if the model's output is an integer tensor already, or
        does not depend on a single one.
    """
    content = model.read_bytes()
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    last = _last_integer(graph, graph.Outputs(0))
    if last is None or last == graph.Outputs(0):
        return None
    with whole_file(output) as temporary:
        temporary.write_bytes(cut_at(content, last))
    return str(graph.Tensors(last).Name(), "utf-8")


def _last_integer(graph: Any, tensor: int) -> int | None:
    """Walk from `tensor` towards the input, through float operators with one non-constant input."""
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    made_by = {int(output): operator for operator in operators for output in operator.OutputsAsNumpy()}
    while graph.Tensors(tensor).Type() in FLOATS:
        if tensor not in made_by:
            return None
        inputs = [int(index) for index in made_by[tensor].InputsAsNumpy() if int(index) in made_by]
        if len(inputs) != 1:
            return None
        tensor = inputs[0]
    return tensor


def _name(root: Any, operator: Any) -> str:
    code = root.OperatorCodes(operator.OpcodeIndex())
    return OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
