"""Fixes an open batch size at 1: TensorFlow's converter writes `shape_signature [-1, …]`."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.base.errors import UserError
from qatflow.tflite.builder import packed
from qatflow.tflite.run import Model

COMPARED = 8
"""Number of random pictures for which the model must give equal outputs before and after."""


def with_fixed_batch(content: bytes, where: str) -> bytes:
    """Return the .tflite file with a batch of 1 if its batch is open, else the same bytes.

    All tensors keep the shapes that the converter wrote for one picture, and no other size is possible any more. LiteRT
    is not used here: run `check.check_model` on the result first, then compare with `check_same`.

    Args:
        content: a model; one with several inputs or outputs is left as it is.
        where: the file, for messages.

    Raises:
        UserError: the batch is fixed at another size than 1, or a size other than the batch is open.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return content
    for role, index in (("input", graph.inputs[0]), ("output", graph.outputs[0])):
        tensor = graph.tensors[index]
        shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
        signature = shape if tensor.shapeSignature is None else [int(size) for size in tensor.shapeSignature]
        if not shape or min(signature[1:], default=1) < 1:
            raise UserError(
                f"{where}: the {role} has no fixed size ({signature or 'no shape at all'}): convert the model with a "
                "complete input shape"
            )
        if shape[0] != 1:
            raise UserError(f"{where}: the {role} has a batch of {shape[0]}: convert the model with a batch of 1")
    changed = [tensor for part in model.subgraphs for tensor in part.tensors if tensor.shapeSignature is not None]
    if not any(min(tensor.shapeSignature, default=1) < 1 for tensor in changed):
        return content
    for tensor in changed:
        tensor.shapeSignature = None
    return packed(model)


def check_same(before: bytes, after: bytes, where: str) -> None:
    """Raise if two models do not give bit-identical outputs for random pictures.

    Args:
        before: the original model.
        after: the same with a batch of 1.
        where: the file, for messages.

    Raises:
        UserError: the outputs differ.
    """
    first, second = Model(before), Model(after)
    random = np.random.default_rng(0).normal(0, 1, (COMPARED, *first.input.shape[1:])).astype(np.float32)
    pictures = first.input.from_real(random)
    if not np.array_equal(first.outputs(pictures), second.outputs(pictures)):
        raise UserError(
            f"{where}: its batch is open, and its outputs change with a batch of 1: convert the model with a batch of 1"
        )
