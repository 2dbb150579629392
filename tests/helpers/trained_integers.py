"""A .tflite read with the schema alone, and held to the integers that training settled on."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import BatchNorm

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
SOURCE = {"TRANSPOSE_CONV": 2}
"""Which input is the tensor, where it is not the first."""


def parsed(content: bytes) -> schema.ModelT:
    return schema.ModelT.InitFromPackedBuf(content, 0)


def weighted_operators(model: schema.ModelT) -> list:
    """Kind, input, kernel and output of each weighted operator."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    tensors = model.subgraphs[0].tensors
    return [
        (kind, tensors[operator.inputs[SOURCE.get(kind, 0)]], tensors[operator.inputs[1]], tensors[operator.outputs[0]])
        for operator in model.subgraphs[0].operators
        if (kind := names[model.operatorCodes[operator.opcodeIndex].builtinCode]) in KINDS
    ]


def norm_of(graph: Graph, kernel: str) -> Node | None:
    """The batch-norm behind the layer of a kernel."""
    (consumer,) = graph.consumers(kernel.rsplit("/", 1)[0])
    return consumer if isinstance(consumer.operation, BatchNorm) else None


def assert_kept(
    content: bytes, graph: Graph, stored: Mapping[str, np.ndarray], tensors: int = schema.TensorType.INT8
) -> tuple[int, ...]:
    """Each kernel has the integers of training, but for the sign of batch-norm's factor; its size is in the scales.

    Args:
        content: the optimised model.
        graph: the exported one.
        stored: the arrays of its int8/.
        tensors: type of the tensors; kernels are int8.

    Returns:
        How many operators there are of each of `KINDS`, all of them with these types.
    """
    model = parsed(content)
    found = weighted_operators(model)
    for kind, source, kernel, result in found:
        assert (source.type, kernel.type, result.type) == (tensors, schema.TensorType.INT8, tensors)
        weight = kernel.name.decode()
        integers = np.asarray(model.buffers[kernel.buffer].data).view(np.int8).reshape(kernel.shape)
        norm = norm_of(graph, weight)
        factor: np.ndarray | float = 1.0
        if norm is not None:
            assert isinstance(norm.operation, BatchNorm)
            variance = stored[norm.weight("moving_variance")]
            factor = stored[norm.weight("gamma")] / np.sqrt(variance + norm.operation.epsilon)
        if kind == "DEPTHWISE_CONV_2D":
            height, width, *channels = stored[weight].shape
            expected = stored[weight].reshape(1, height, width, np.prod(channels)) * np.sign(factor)
        else:
            expected = np.moveaxis(stored[weight] * np.sign(factor), -1, 0)
        np.testing.assert_array_equal(integers, expected, err_msg=weight)
        scales = np.broadcast_to(stored[f"{weight}.scale"] * np.abs(factor), len(kernel.quantization.scale))
        np.testing.assert_allclose(kernel.quantization.scale, scales, rtol=1e-6, err_msg=weight)
    kinds = Counter(kind for kind, *_ in found)
    return tuple(kinds[kind] for kind in KINDS)
