"""Reads an ONNX file: parsed, checked by the onnx package, with its external arrays, and with nothing run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qatflow.base.errors import UserError
from qatflow.base.sums import read_checked

if TYPE_CHECKING:
    import onnx

ENDING = ".onnx"
LARGEST = 2**31 - 1
"""Bytes of a model with its arrays: protocol buffers hold no more, and shape inference takes one of them."""
OPSETS = (11, 22)
"""Oldest and newest version of the operators whose definitions are known here."""
EXPORT = "torch.onnx.export(model, pictures, path, opset_version=18, external_data=False)"


def is_onnx(path: Path | str) -> bool:
    """Return whether a file name is that of an ONNX model."""
    return str(path).lower().endswith(ENDING)


def external_files(path: Path) -> list[Path]:
    """Return the files beside an ONNX file that hold its arrays, sorted; none for most models.

    Raises:
        UserError: the file cannot be read.
    """
    if not path.is_file():
        return []  # a file that a job will download is whole
    model = _parsed(path)
    return sorted({path.parent / location for location in _locations(model)})


def read(path: Path) -> "onnx.ModelProto":
    """Return the model in a file, with all its arrays, and with functions of its own replaced by their nodes.

    Raises:
        UserError: there is no such file; it is damaged, too large or not ONNX; it needs a version of the operators that
            is not known here; an array lies in a file that is missing or outside of the model's folder.
    """
    import onnx
    from onnx import external_data_helper, inliner

    model = _parsed(path)
    _check_version(path, model)
    files = sorted(set(_locations(model)))
    for location in files:
        if not (path.parent / location).is_file():
            raise UserError(
                f"{path} keeps arrays in {location}, and there is no such file beside it: copy it there, or export "
                f"again into one file: {EXPORT}"
            )
    size = path.stat().st_size + sum((path.parent / location).stat().st_size for location in files)
    if size > LARGEST:
        raise UserError(f"{path} has {size} bytes with its arrays; models of up to {LARGEST} bytes are read")
    try:
        if files:
            external_data_helper.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as error:  # the checker, the loader and protobuf raise many kinds for damaged files
        raise _damaged(path, error) from error
    return model


def _check_version(path: Path, model: "onnx.ModelProto") -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    low, high = OPSETS
    if len(versions) != 1 or not low <= versions[0] <= high:
        has = f"version {versions[0]}" if versions else "no version"
        raise UserError(
            f"{path} has {has} of ONNX' operators (opset); versions {low} to {high} are known: export "
            f"it again: {EXPORT}"
        )


def _parsed(path: Path) -> "onnx.ModelProto":
    import onnx

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f"{path} has more than {LARGEST} bytes, which no ONNX file can have")
        content = read_checked(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    try:
        model: Any = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError, of several modules
        raise _damaged(path, error) from error
    if not model.HasField("graph") or not model.graph.node:
        raise UserError(f"{path} is not an ONNX model: it has no graph with nodes")
    return model


def _locations(model: "onnx.ModelProto") -> Iterator[str]:
    """Yield the file of each array that is stored beside the model."""
    from onnx import TensorProto

    arrays = list(model.graph.initializer)
    arrays += [a.t for node in model.graph.node for a in node.attribute if a.HasField("t")]
    for array in arrays:
        if array.data_location == TensorProto.EXTERNAL:
            entries = {entry.key: entry.value for entry in array.external_data}
            location = entries.get("location", "")
            if not location or Path(location).is_absolute() or ".." in Path(location).parts:
                raise UserError(f"array {array.name} lies in '{location}', which is not a file beside the model")
            yield location


def _damaged(path: Path, error: Exception) -> UserError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UserError(f"{path} is damaged, or not an ONNX model ({first[:300]}): export it again: {EXPORT}")
