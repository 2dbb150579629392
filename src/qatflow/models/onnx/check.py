"""What is wrong with an ONNX file that a configuration names, before any job starts: no TensorFlow is needed."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qatflow.base.errors import UserError
from qatflow.graph.finite import check_finite
from qatflow.graph.float_layers import check_float_layers, check_names
from qatflow.graph.graph import Graph
from qatflow.graph.head import classifier_head
from qatflow.graph.operations import Input
from qatflow.models.new_head import classes_of
from qatflow.models.onnx.quantised_graph import quantised_onnx
from qatflow.models.onnx.translate import float_onnx

Keep = Literal["auto"] | tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """What is known of a file.

    Attributes:
        problem: why it cannot be the model, or an empty text.
        classes: that it puts out; None where there is a problem.
    """

    problem: str
    classes: int | None = None


def float_fit(path: str, pictures: tuple[int, int, int], keep: Literal["auto"] | Sequence[str] = ()) -> Fit:
    """Return whether a file can be the float model.

    Args:
        path: the file.
        pictures: height, width and channels of the data.
        keep: model.keep_in_float.
    """
    return _fit(path, _stamp(path), pictures, keep if keep == "auto" else tuple(keep))


def quantised_problem(path: str, pictures: tuple[int, int, int]) -> str:
    """Return why a file cannot be the quantised model, or an empty text; arguments as `float_fit`."""
    return _fit(path, _stamp(path), pictures, None).problem


def _stamp(path: str) -> tuple[int, int]:
    about = Path(path).stat()
    return about.st_mtime_ns, about.st_size


@functools.lru_cache(maxsize=16)
def _fit(path: str, stamp: tuple[int, int], pictures: tuple[int, int, int], keep: Keep | None) -> Fit:
    """Return what is known; kept for a file that has not changed, which several experiments may name.

    Args:
        path: the file.
        stamp: of the file.
        pictures: see `float_fit`.
        keep: see `float_fit`; None for a quantised model.
    """
    classes = None
    try:
        graph: Graph = quantised_onnx(Path(path)).graph if keep is None else float_onnx(Path(path)).graph
        classifier_head(graph)
        if keep is not None:
            check_float_layers(graph, keep)
            check_names(graph, () if keep == "auto" else keep)
            check_finite(graph)
            classes = classes_of(graph)
    except UserError as error:
        return Fit(str(error))
    (shape,) = (node.operation.shape for node in graph.nodes if isinstance(node.operation, Input))
    if shape != pictures:
        return Fit(
            f"{path} takes pictures of {'×'.join(map(str, shape))} (height, width, channels), and those of the data "
            f"are {'×'.join(map(str, pictures))}: set data.preprocessing.size and channels, or export it for that size"
        )
    return Fit("", classes)
