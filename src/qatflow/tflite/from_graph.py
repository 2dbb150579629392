"""A graph as it comes from training or from disk, made into a .tflite model: passes, then lowering."""

from dataclasses import dataclass

from qatflow.graph.graph import Graph
from qatflow.graph.passes import run_all
from qatflow.tflite.lower import lower


@dataclass(frozen=True)
class Converted:
    """A .tflite model and how it came about.

    Attributes:
        graph: the graph after the passes.
        done: by pass, a line for each thing it did.
        content: the model's bytes.
    """

    graph: Graph
    done: dict[str, list[str]]
    content: bytes


def convert(graph: Graph, metadata: dict[str, bytes] | None = None) -> Converted:
    """Return the .tflite model of a float or quantised graph.

    Raises:
        UserError: the run-time has no kernel for an operation or a width; all such nodes are listed.
    """
    passed, done = run_all(graph)
    return Converted(passed, done, lower(passed, "qatflow", metadata))
