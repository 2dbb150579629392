"""A model whose output is its last integer tensor.

The optimised model ends in DEQUANTIZE and a float SOFTMAX. Integer kernels give equal bits on every processor; the
float exponential of ARM and x86 differs in the last bit. Taken before it, the outputs can be compared bit for bit.
"""

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from qatflow.base.files import whole_file
from qatflow.device.run.cut import cut_at

FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)


def expose_integers(model: Path, output: Path) -> str | None:
    """Write to `output` the model with the last integer tensor as its output in place of the float one.

    Args:
        model: a .tflite file with one output.
        output: the file to write.

    Returns:
        The name of that tensor; None, with nothing written, where the model's output is an integer tensor already, or
        no single integer tensor leads to it.
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
    """Walk from `tensor` towards the input, through float operations with one input that is not a constant."""
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    made_by = {int(made): operator for operator in operators for made in operator.OutputsAsNumpy()}
    while graph.Tensors(tensor).Type() in FLOATS:
        if tensor not in made_by:
            return None
        inputs = [int(index) for index in made_by[tensor].InputsAsNumpy() if int(index) in made_by]
        if len(inputs) != 1:
            return None
        tensor = inputs[0]
    return tensor
