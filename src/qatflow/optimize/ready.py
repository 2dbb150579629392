"""A model that is already quantised, made into the folder that goes to the device."""

from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base import provenance
from qatflow.base.errors import UserError
from qatflow.base.sums import read_checked
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.graph.store import load
from qatflow.models.onnx.file import external_files, is_onnx
from qatflow.models.onnx.quantised_graph import quantised_onnx
from qatflow.optimize.background import without_background
from qatflow.optimize.folder import operator_counts, quantised_tensors, write_folder
from qatflow.optimize.narrow import widths_of
from qatflow.optimize.two_values import with_two_values
from qatflow.tflite.check import check_model
from qatflow.tflite.fixed_batch import COMPARED, check_same, with_fixed_batch
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import PACKED
from qatflow.tflite.read import WEIGHTED, operators, operators_of_file
from qatflow.tflite.rounding import rounding_differently, warning
from qatflow.tflite.run import Model
from qatflow.tflite.slow_layers import slow_layers
from qatflow.tflite.verify import verify

INTEGERS = ("INT8", "UINT8")


def adopt(model: Path, data: Path, output: Path, drop_background: bool, packed: bool = False) -> int:
    """Write the folder; return the model's size in bytes.

    A binary classifier with one value gets one for each class (`two_values`).

    Args:
        model: a quantised .tflite or .onnx file, or a folder with `model` and `weights` (float/ or int8/).
        data: manifest.json of the data: labels and preprocessing.
        output: folder to write; it appears complete or not at all.
        drop_background: whether to drop the first class.
        packed: whether a packed file is made of the model afterwards; if not, the reason is printed.

    Raises:
        UserError: it is not a model, is not quantised, takes more than one picture at a time, does not fit the data's
            pictures or classes, or cannot run on the device.
    """
    manifest = read_manifest(data)
    inputs = [model / "model", model / "weights"] if model.is_dir() else [model]
    inputs += external_files(model) if is_onnx(model) else []
    original = _content(model)
    fixed = with_fixed_batch(original, str(model))
    content = without_background(fixed, str(model)) if drop_background else fixed
    check_model(content)
    binary = manifest.classes == 2 and int(np.prod(Model(content).output.shape)) == 1
    if binary:
        content = _binary(content, model, manifest)
        check_model(content)
    if fixed != original:
        check_same(original, fixed, str(model))
        print(f"{model} has an open batch: fixed it at 1, with equal outputs for {COMPARED} random pictures")
    _check_data(content, model, manifest)
    after = operators(content)
    different = rounding_differently(after)
    if different:
        print(warning(different))
    for line in slow_layers(content):
        print(f"warning: {line}")
    if not packed:
        print(_not_packed(content))
    about: dict[str, Any] = {
        "source": str(model),
        "drop_background": drop_background,
        "batch_fixed": fixed != original,
        "binary": binary,
        "operators_after": operator_counts(after),
        "bytes_before": sum(path.stat().st_size for path in inputs),
        "bytes_after": len(content),
        "tensors": quantised_tensors(after),
        "rounding_differently": different,
        "provenance": provenance.record([*inputs, data], {"drop_background": drop_background}),
    }
    write_folder(output, content, manifest, about)
    return len(content)


def _not_packed(content: bytes) -> str:
    widths = widths_of(content)
    if widths.packs:
        return (
            f"no {PACKED}: {widths.text()}, which was not known before the download; give the file by "
            "quantized_model.file"
        )
    return f"no {PACKED}: {widths.text()}, so it would hardly be smaller than the model deflated"


def _binary(content: bytes, path: Path, data: Manifest) -> bytes:
    result, was = with_two_values(content, str(path))
    first, second = data.labels
    print(
        f"{path} ends in {was}, so it is a binary classifier: float operators behind it make two values, for class 0, "
        f"{first}, and class 1, {second}, which the one value stands for"
    )
    return result


def _content(model: Path) -> bytes:
    if model.is_dir():
        return _from_graph(model)
    return _from_onnx(model) if is_onnx(model) else _from_tflite(model)


def _from_onnx(path: Path) -> bytes:
    quantised = quantised_onnx(path)
    converted = convert(quantised.graph)
    for operator in verify(converted.graph, converted.content):
        bias = operator.inputs[2] if operator.name in WEIGHTED and len(operator.inputs) > 2 else None
        expected = quantised.biases.get(bias.name) if bias is not None else None
        if bias is not None and expected is not None and not np.array_equal(np.asarray(bias.data), expected):
            raise UserError(f"{path}: the bias {bias.name} is not that of the model; this is a bug")
    for line in quantised.in_float:
        print(f"runs in float: {line}")
    return converted.content


def _from_graph(folder: Path) -> bytes:
    graph = load(folder)
    if not graph.weight_scales:
        raise UserError(f"{folder} holds a float model: quantized_model needs one with trained integers")
    converted = convert(graph)
    verify(converted.graph, converted.content)
    return converted.content


def _from_tflite(path: Path) -> bytes:
    content = read_checked(path)
    every = operators_of_file(content, str(path))
    weighted = [operator for operator in every if operator.name in WEIGHTED]
    in_float = [operator.outputs[0].name for operator in weighted if operator.outputs[0].dtype not in INTEGERS]
    if not weighted or len(in_float) == len(weighted):
        raise UserError(f"{path} is not quantised: none of its convolutions and dense layers runs in integers")
    if in_float:
        print(f"{len(in_float)} of {len(weighted)} convolutions and dense layers run in float: {in_float[0]}, …")
    return content


def _check_data(content: bytes, path: Path, data: Manifest) -> None:
    model, spec = Model(content), data.preprocessing
    if model.input.shape != (1, *spec.shape):
        raise UserError(
            f"{path} takes {model.input.shape[1:]}, but the pictures of data/{data.dataset} are "
            f"{spec.shape}: set data.preprocessing.size and channels"
        )
    classes = int(np.prod(model.output.shape))
    if classes != data.classes:
        more = classes == data.classes + 1
        hint = "; set quantized_model.drop_background, if the first is a background class" if more else ""
        hint = "; a model with one value is a binary classifier, for data of two classes" if classes == 1 else hint
        raise UserError(f"{path} has {classes} classes, but data/{data.dataset} has {data.classes}{hint}")
