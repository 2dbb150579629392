"""A binary classifier with one output value, as one with a value for each of its two classes."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.optimize.appended import AppendedModel
from qatflow.tflite.read import OPERATOR_NAMES

LOOKED_THROUGH = ("RESHAPE", "DEQUANTIZE", "QUANTIZE")
"""Operators that change neither the value nor what it means."""
LOGITS = ("CONV_2D", "FULLY_CONNECTED", "MEAN", "AVERAGE_POOL_2D", "ADD")
"""Operators whose value is a logit, if no activation is fused into them."""
INTEGERS = (schema.TensorType.INT8, schema.TensorType.UINT8)


def with_two_values(content: bytes, where: str) -> tuple[bytes, str]:
    """Return the .tflite file with float operators behind its output, and what the value was, in words.

    A sigmoid's p becomes 1 − p and p, so that the larger value is the class by p > 1/2; a logit z becomes −z/2 and z/2,
    whose softmax is the same, so that it is the class by z > 0. These are the values of `new_head.in_pairs`. What is
    before the output, its integers included, stays as it is.

    Args:
        content: a model with one output value.
        where: the file, for messages.

    Raises:
        UserError: the value is neither that of a sigmoid nor a logit.
    """
    end = _end(content)
    if end == "LOGISTIC":
        factors, offsets, was = [-1.0, 1.0], [1.0, 0.0], "one sigmoid"
    elif end in LOGITS:
        factors, offsets, was = [-0.5, 0.5], [0.0, 0.0], "one logit"
    else:
        raise UserError(
            f"{where} has one output value, of {end}: a binary classifier ends in a sigmoid or in a logit. Convert it "
            "with a sigmoid as its last layer, or with one value per class"
        )
    model = AppendedModel(content)
    if model.output.type in INTEGERS:
        shape = [int(size) for size in model.output.shape]
        model.append(
            "DEQUANTIZE", "classes/one", shape, schema.TensorType.FLOAT32, schema.DequantizeOptionsT(), version=2
        )
    constants = (
        model.constant("classes/factors", np.asarray(factors, np.float32)[:, None]),
        model.constant("classes/offsets", np.asarray(offsets, np.float32)),
    )
    options = schema.FullyConnectedOptionsT()
    model.append("FULLY_CONNECTED", "classes/two", [1, 2], schema.TensorType.FLOAT32, options, constants)
    return model.content(), was


def _end(content: bytes) -> str:
    """Return the name of the operator that decides what the output means, with an activation that is fused into it."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    made_by = {int(index): operator for operator in graph.operators for index in operator.outputs}
    place, name = int(graph.outputs[0]), "no operator"
    while place in made_by:
        operator = made_by[place]
        code = model.operatorCodes[operator.opcodeIndex]
        name = OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name not in LOOKED_THROUGH:
            return name + _fused(operator)
        place = int(operator.inputs[0])
    return name


def _fused(operator: Any) -> str:
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", schema.ActivationFunctionType.NONE)
    names = {value: name for name, value in vars(schema.ActivationFunctionType).items() if isinstance(value, int)}
    return "" if fused == schema.ActivationFunctionType.NONE else f" with the activation {names[fused]}"
