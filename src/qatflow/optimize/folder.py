"""The folder that goes to the device: model.tflite, labels.txt, preprocessing.json, and optimization.json on them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qatflow.base.files import whole_folder, write_json
from qatflow.base.sums import read_checked, read_sealed, write_sealed
from qatflow.data.manifest import Manifest
from qatflow.tflite.read import Operator, Tensor

ABOUT = "optimization.json"


def write_folder(output: Path, content: bytes, data: Manifest | None, about: Mapping[str, Any]) -> None:
    """Write the folder, complete or not at all.

    Args:
        output: the folder.
        content: bytes of the .tflite file.
        data: its labels and preprocessing go with the model; None: the folder has neither.
        about: the contents of optimization.json, besides the checksums.
    """
    with whole_folder(output) as folder:
        (folder / "model.tflite").write_bytes(content)
        if data is not None:
            (folder / "labels.txt").write_text("".join(f"{label}\n" for label in data.labels), encoding="utf-8")
            write_json(folder / "preprocessing.json", data.preprocessing.to_json())
        write_sealed(folder / ABOUT, about, files=sorted(path.name for path in folder.iterdir()))


def copy_folder(source: Path, output: Path) -> None:
    """Copy a folder that `write_folder` wrote, complete or not at all.

    Raises:
        UserError: one of its files has changed since it was written.
    """
    about = source / ABOUT
    read_sealed(about)
    with whole_folder(output) as folder:
        for path in sorted(path for path in source.iterdir() if path.is_file()):
            (folder / path.name).write_bytes(path.read_bytes() if path == about else read_checked(path))


def operator_counts(operators: Iterable[Operator]) -> dict[str, int]:
    """Return how often each builtin operator occurs."""
    return dict(Counter(operator.name for operator in operators))


def quantised_tensors(operators: Iterable[Operator]) -> dict[str, Any]:
    """Return type, shape and scales of each quantised tensor, by its name, as plain JSON values."""
    return {
        tensor.name: {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "scale": [float(value) for value in tensor.scale],
            "zero_point": sorted({int(value) for value in tensor.zero_point}),
        }
        for tensor in _tensors(operators)
        if tensor.scale.size
    }


def _tensors(operators: Iterable[Operator]) -> Iterable[Tensor]:
    for operator in operators:
        yield from (tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None)
