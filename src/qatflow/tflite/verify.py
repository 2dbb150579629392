"""Reads the optimised model back and compares it with the graph it was made from."""

from collections.abc import Collection

import numpy as np

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.tflite.int4 import INT4
from qatflow.tflite.read import WEIGHTED, Operator, operators

BIASES = {"INT8": "INT32", "INT16": "INT64"}
"""Type of the bias by that of the tensors: LiteRT's int16 depthwise kernel reads int64, whatever is stored."""


def verify(graph: Graph, content: bytes, in_int4: Collection[str] = ()) -> list[Operator]:
    """Check an optimised model against the graph it was made from, and return its operators.

    Args:
        graph: the graph after the passes.
        content: bytes of the model.
        in_int4: names of the kernels that are stored as INT4; all others are int8.

    Raises:
        UserError: the graph is quantised and a conv, depthwise conv or dense layer runs in float, or its integers are
            not those of the graph, or not stored as they should be; names the operator.
    """
    every = operators(content)
    if not graph.weight_scales:
        return every
    weighted = [operator for operator in every if operator.name in WEIGHTED]
    kernels = {node.kernel: node for node in graph.nodes if node.kernel in graph.weight_scales}
    for operator in weighted:
        source, kernel = operator.source, operator.kernel
        assert source is not None and kernel is not None and kernel.data is not None
        if kernel.name not in kernels:
            continue  # left in float by the compress YAML: the graph has no scale for it
        tensors = [source.dtype, operator.outputs[0].dtype]
        stored = INT4 if kernel.name in in_int4 else "INT8"
        if kernel.dtype != stored or tensors not in (["INT8"] * 2, ["INT16"] * 2):
            types = sorted({kernel.dtype, *tensors})
            raise UserError(
                f"{operator.name} {operator.outputs[0].name} would run in float on the device (its tensors are "
                f"{', '.join(types)}); every conv, depthwise conv and dense layer must be quantised"
            )
        if operator.bias is None or operator.bias.dtype != BIASES[source.dtype]:
            raise UserError(
                f"{operator.name} {operator.outputs[0].name} has no {BIASES[source.dtype]} bias; this is a bug"
            )
        node = kernels.pop(kernel.name)
        integers = graph.weights[kernel.name]
        by_channel = node.is_depthwise
        expected = integers.reshape(1, *integers.shape[:2], -1) if by_channel else np.moveaxis(integers, -1, 0)
        if not np.array_equal(kernel.data, expected):
            raise UserError(f"{operator.name} {node.name}: its integers are not those of training; this is a bug")
    if kernels:
        raise UserError(f"layers {sorted(node.name for node in kernels.values())} are missing from the optimised model")
    return every
