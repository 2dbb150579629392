"""Looks at a model file: input, classes, layers, and which of them have no int8 form. Runs no code of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qatflow.base.errors import UserError
from qatflow.graph.float_layers import float_layers
from qatflow.graph.operations import Input
from qatflow.models.described_fit import described_classes, described_float_layers, picture_shape
from qatflow.models.new_head import classes_of
from qatflow.models.onnx.file import is_onnx
from qatflow.models.onnx.quantised_graph import quantised_onnx
from qatflow.models.onnx.translate import float_onnx, translated
from qatflow.models.own_file import check_description
from qatflow.models.saved.weights_file import description
from qatflow.tflite.read import inputs, operators


@dataclass(frozen=True)
class Model:
    """What is seen of a model.

    Attributes:
        path: the file, as the user gave it.
        shape: height, width and channels of its input; None where it leaves them open.
        classes: None where they are not seen.
        layers: number of layers of each kind, the most frequent first.
        in_float: kind of each layer without an int8 form, by name.
        quantised: whether it is quantised already.
    """

    path: Path
    shape: tuple[int, int, int] | None
    classes: int | None
    layers: Mapping[str, int]
    in_float: Mapping[str, str]
    quantised: bool = False


def look_at(path: Path) -> Model:
    """Return what is seen of a .h5, .keras, .onnx or .tflite file, or a SavedModel folder.

    Raises:
        UserError: there is no such file, it is damaged, or it has layers that are not supported; names all of them.
    """
    if not path.exists():
        raise UserError(f"--model: {path} does not exist: give a .h5, .keras, .onnx or .tflite file, or a SavedModel")
    if path.suffix == ".tflite":
        return _tflite(path)
    if is_onnx(path):
        return _onnx(path)
    return _keras(path)


def _keras(path: Path) -> Model:
    described = check_description(description(path), str(path))
    kinds = Counter(_kinds(described))
    return Model(
        path, _picture(picture_shape(described)), described_classes(described), _ordered(kinds),
        described_float_layers(described, ()),
    )  # fmt: skip


def _kinds(described: Mapping[str, Any]) -> Iterator[str]:
    for layer in described["config"]["layers"]:
        if "layers" in layer["config"]:
            yield from _kinds(layer)
        else:
            yield layer["class_name"]


def _onnx(path: Path) -> Model:
    quantised = translated(path).is_quantised
    graph = quantised_onnx(path).graph if quantised else float_onnx(path).graph
    (shape,) = (node.operation.shape for node in graph.nodes if isinstance(node.operation, Input))
    kinds = Counter(type(node.operation).__name__ for node in graph.nodes)
    in_float = {} if quantised else float_layers(graph)
    return Model(path, _picture(shape), classes_of(graph), _ordered(kinds), in_float, quantised)


def _tflite(path: Path) -> Model:
    content = path.read_bytes()
    try:
        shape = tuple(inputs(content)[0].shape)[1:]
        kinds = Counter(operator.name for operator in operators(content))
    except (LookupError, ValueError, TypeError) as error:
        raise UserError(f"--model: {path} is no .tflite file that can be read: {error}") from error
    return Model(path, _picture(shape), None, _ordered(kinds), {}, quantised=True)


def _picture(shape: tuple[int, ...] | None) -> tuple[int, int, int] | None:
    if shape is None or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        return None
    height, width, channels = shape
    return height, width, channels


def _ordered(kinds: "Counter[str]") -> Mapping[str, int]:
    return {kind: count for kind, count in kinds.most_common() if kind not in ("Input", "InputLayer")}
