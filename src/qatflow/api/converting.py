"""`qatflow.convert`: a graph as the bytes of a .tflite file."""

from qatflow.graph.graph import Graph
from qatflow.tflite import lower
from qatflow.tflite.check import check_model
from qatflow.tflite.verify import verify


def convert(graph: Graph) -> bytes:
    """Return the .tflite model of a graph, which LiteRT has loaded and run once.

    Input [1, height, width, channels] and output [1, classes] are float32. A quantised graph computes in int8 in
    between, or in int16 where its tensors have 16 bits, with exactly the integers of the graph.

    Args:
        graph: float, or quantised by `quantise` or by training.

    Returns:
        The bytes of the file.

    Raises:
        UserError: the run-time has no kernel for an operation or a width (lists all of them), or cannot run the model.
    """
    converted = lower.convert(graph)
    verify(converted.graph, converted.content)
    check_model(converted.content, converted.graph)
    return converted.content
