"""What is wrong with an ONNX file that a configuration names, before any job starts: no TensorFlow is needed."""

import functools
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.graph.graph import Graph
from qatflow.graph.head import classifier_head
from qatflow.graph.operations import Input
from qatflow.models.onnx.quantised_graph import quantised_onnx
from qatflow.models.onnx.translate import float_onnx


def float_problem(path: str, pictures: tuple[int, int, int]) -> str:
    """Return why a file cannot be the float model, or an empty text.

    Args:
        path: the file.
        pictures: height, width and channels of the data.
    """
    return _problem(path, _stamp(path), pictures, quantised=False)


def quantised_problem(path: str, pictures: tuple[int, int, int]) -> str:
    """Return why a file cannot be the quantised model, or an empty text; arguments as `float_problem`."""
    return _problem(path, _stamp(path), pictures, quantised=True)


def _stamp(path: str) -> tuple[int, int]:
    about = Path(path).stat()
    return about.st_mtime_ns, about.st_size


@functools.lru_cache(maxsize=16)
def _problem(path: str, stamp: tuple[int, int], pictures: tuple[int, int, int], quantised: bool) -> str:
    """Return the problem; kept for a file that has not changed, which several experiments may name."""
    try:
        graph: Graph = quantised_onnx(Path(path)).graph if quantised else float_onnx(Path(path)).graph
        classifier_head(graph)
    except UserError as error:
        return str(error)
    (shape,) = (node.operation.shape for node in graph.nodes if isinstance(node.operation, Input))
    if shape != pictures:
        return (
            f"{path} takes pictures of {'×'.join(map(str, shape))} (height, width, channels), and those of the data "
            f"are {'×'.join(map(str, pictures))}: set data.preprocessing.size and channels, or export it for that size"
        )
    return ""
