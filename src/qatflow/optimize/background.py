"""Removes a classifier's first class: in TensorFlow's official models it is a background that no picture shows."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.optimize.appended import AppendedModel


def without_background(content: bytes, where: str) -> bytes:
    """Return the .tflite file with one more operator, a SLICE that drops the first output value.

    Everything else stays as it is; the other values are not scaled up.

    Args:
        content: a model with one output, [1, classes] of any type.
        where: the file, for messages.

    Raises:
        UserError: the output has another shape.
    """
    outputs = schema.Model.GetRootAs(content).Subgraphs(0).OutputsLength()
    model = AppendedModel(content)
    source = model.output
    shape = [int(n) for n in source.shape]
    if outputs != 1 or len(shape) != 2 or shape[1] < 2:
        raise UserError(f"{where}: its output has shape {tuple(shape)}, but must have (1, classes) to drop a class")
    wanted = [shape[0], shape[1] - 1]
    begin, size = (
        model.constant(f"background/{name}", np.asarray(values, np.int32))
        for name, values in (("begin", [0, 1]), ("size", wanted))
    )
    version = 2 if source.type in (schema.TensorType.INT8, schema.TensorType.UINT8) else 1
    model.append(
        "SLICE", "background/classes", wanted, source.type, schema.SliceOptionsT(), (begin, size), version,
        source.quantization,
    )  # fmt: skip
    return model.content()
