"""The optimised model read back and held to what was promised."""

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.tflite.read import WEIGHTED, Operator, operators


def verify(graph: Graph, content: bytes) -> list[Operator]:
    """Check an optimised model against the graph it was made from, and return its operators.

    Args:
        graph: the graph after the passes.
        content: bytes of the model.

    Raises:
        UserError: the graph is quantised and a conv, depthwise conv or dense runs in float, or its integers are not
            those of the graph; the operator is named.
    """
    found = operators(content)
    if not graph.weight_scales:
        return found
    weighted = [operator for operator in found if operator.name in WEIGHTED]
    kernels = {node.kernel: node for node in graph.nodes if node.kernel in graph.weight_scales}
    for operator in weighted:
        source, kernel, *_ = operator.inputs
        assert source is not None and kernel is not None and kernel.data is not None
        if kernel.name not in kernels:
            continue  # left in float by the compress YAML, which the graph says by having no scale for it
        types = {source.dtype, kernel.dtype, operator.outputs[0].dtype}
        if types != {"INT8"}:
            raise UserError(
                f"{operator.name} {operator.outputs[0].name} would run in float on the device (its tensors are "
                f"{', '.join(sorted(types))}); every conv, depthwise conv and dense layer must be quantised"
            )
        node = kernels.pop(kernel.name)
        integers = graph.weights[kernel.name]
        by_channel = node.is_depthwise
        expected = integers.reshape(1, *integers.shape[:2], -1) if by_channel else np.moveaxis(integers, -1, 0)
        if not np.array_equal(kernel.data, expected):
            raise UserError(f"{operator.name} {node.name}: its integers are not those of training; this is a bug")
    if kernels:
        raise UserError(f"layers {sorted(node.name for node in kernels.values())} are missing from the optimised model")
    return found
