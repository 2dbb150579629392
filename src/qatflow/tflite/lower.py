"""A graph made into a .tflite model with a batch of 1.

Nodes whose kernel or output tensor has a scale run in int8, or in int16 with int8 kernels. The others run in float32,
with QUANTIZE and DEQUANTIZE in between. Inputs and outputs are float32. Softmax stays in float, so that small
probabilities survive.
"""

from dataclasses import dataclass

from qatflow.base.errors import UserError
from qatflow.graph.float_layers import float_layers, rescaled_pictures
from qatflow.graph.graph import Graph
from qatflow.graph.operator_bits import NARROW, WIDE, without_int16_kernel
from qatflow.graph.passes import run_all
from qatflow.tflite.lowering import Lowering
from qatflow.tflite.operators import LOWER
from qatflow.tflite.read import FLOAT_ONLY_METADATA


@dataclass(frozen=True)
class Converted:
    """A .tflite model and how it was made.

    Attributes:
        graph: the graph after the passes.
        done: a line for each change, by pass.
        content: the model's bytes.
    """

    graph: Graph
    done: dict[str, list[str]]
    content: bytes


def convert(graph: Graph, metadata: dict[str, bytes] | None = None) -> Converted:
    """Return the .tflite model of a float or quantised graph as it comes from training or disk: passes, then lowering.

    Args:
        graph: before any pass.
        metadata: named blobs to store in the model.

    Raises:
        UserError: the run-time has no kernel for an operation or a width; all such nodes are listed.
    """
    passed, done = run_all(graph)
    return Converted(passed, done, lower(passed, "qatflow", metadata))


def lower(graph: Graph, description: str, metadata: dict[str, bytes] | None = None) -> bytes:
    """Return the bytes of the .tflite model of a graph that the passes have been run on.

    Args:
        graph: float, or quantised: activations at 8 or 16 bits, weights at up to 8.
        description: what made the model; stored in it.
        metadata: named blobs to store in it.

    Raises:
        UserError: the run-time has no kernel for an operation or a width; all such nodes are listed.
    """
    problems = unsupported(graph)
    if problems:
        raise UserError("the device's run-time cannot execute: " + "; ".join(problems))
    lowering = Lowering(graph)
    for node in graph.nodes:
        LOWER[type(node.operation)](lowering, node)
    # for those who quantise the file by other means
    in_float = "\n".join([*float_layers(graph), *sorted(rescaled_pictures(graph))]).encode()
    return lowering.pack(description, {**({FLOAT_ONLY_METADATA: in_float} if in_float else {}), **(metadata or {})})


def unsupported(graph: Graph) -> list[str]:
    """Return a line for each node or scale that the run-time has no kernel for."""
    kernels = {node.kernel for node in graph.nodes}
    problems = [
        f"{node.name} ({type(node.operation).__name__})" for node in graph.nodes if type(node.operation) not in LOWER
    ]
    problems += [
        f"{name} ({scale.bits}-bit weights; the kernels take up to 8 bits)"
        for name, scale in graph.weight_scales.items()
        if scale.bits > 8 and name in kernels
    ]
    problems += [
        f"{name} ({scale.bits}-bit activations; the kernels take 8 or 16 bits)"
        for name, scale in graph.activation_scales.items()
        if scale.bits not in (NARROW, WIDE)
    ]
    problems += [
        f"{name} (its scale is computed for each picture; the kernels take a fixed one)"
        for name, scale in graph.activation_scales.items()
        if scale.scale is None
    ]
    return [*problems, *without_int16_kernel(graph)]
