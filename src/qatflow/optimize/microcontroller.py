"""The model that ships as C++ source for microcontrollers: an array, labels, and how pictures are prepared."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from qatflow.base import provenance
from qatflow.base.errors import UserError
from qatflow.base.files import write_text
from qatflow.base.sums import read_checked, write_sealed
from qatflow.data.preprocess import Preprocessing
from qatflow.tflite.arena import ALIGNMENT, arena_bytes, plan
from qatflow.tflite.read import Operator, Tensor, inputs, operators

FORMAT = 1
HEADER, SOURCE, RECORD = "model.h", "model.cc", "microcontroller.json"
LINE = 16
OPERATORS = frozenset(
    (
        "ABS", "ADD", "ADD_N", "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "BROADCAST_ARGS",
        "BROADCAST_TO", "CAST", "CEIL", "CONCATENATION", "CONV_2D", "COS", "CUMSUM", "DEPTH_TO_SPACE",
        "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "ELU", "EQUAL", "EXP", "EXPAND_DIMS", "FILL", "FLOOR",
        "FLOOR_DIV", "FLOOR_MOD", "FULLY_CONNECTED", "GATHER", "GATHER_ND", "GREATER", "GREATER_EQUAL",
        "HARD_SWISH", "L2_NORMALIZATION", "L2_POOL_2D", "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG",
        "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "LOG_SOFTMAX", "MAX_POOL_2D", "MAXIMUM", "MEAN",
        "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL", "PACK", "PAD", "PADV2", "PRELU", "QUANTIZE",
        "REDUCE_MAX", "RELU", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "ROUND",
        "RSQRT", "SELECT_V2", "SHAPE", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH",
        "SPLIT", "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM",
        "SVDF", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK", "ZEROS_LIKE",
    )
)  # fmt: skip
"""Operators of LiteRT for Microcontrollers: python_ops_resolver.cc of tensorflow/tflite-micro at commit 03e16b2."""
TYPES = frozenset(("FLOAT32", "INT8", "INT32", "BOOL"))
"""Types of computed tensors that its kernels of these operators take; of uint8 and int16, only some do."""


def write_microcontroller(folder: Path, output: Path) -> int:
    """Write model.h, model.cc and microcontroller.json; return the bytes of the planned arena.

    Args:
        folder: the model that ships: model.tflite, labels.txt, preprocessing.json.
        output: folder to write to.

    Raises:
        UserError: a file has changed since it was written, or an operator or type has no kernel there.
    """
    model = folder / "model.tflite"
    content = read_checked(model)
    refuse(content, str(model))
    labels = read_checked(folder / "labels.txt").decode().splitlines()
    preprocessing = Preprocessing.from_json(json.loads(read_checked(folder / "preprocessing.json")))
    planned = plan(content)
    arena = arena_bytes(planned)
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / HEADER, "\n".join(_header(content, len(labels), preprocessing, arena)) + "\n")
    write_text(output / SOURCE, "\n".join(_source(content, labels, preprocessing)) + "\n")
    files = [model, folder / "labels.txt", folder / "preprocessing.json"]
    write_sealed(
        output / RECORD,
        {
            "format_version": FORMAT,
            "model_bytes": len(content),
            "arena_bytes": arena,
            "tensors": [[one.name, one.bytes, one.first, one.last, one.offset] for one in planned],
            "operators": sorted({operator.name for operator in operators(content)}),
            "provenance": provenance.record(files, {}),
        },
        files=[HEADER, SOURCE],
    )
    return arena


def refuse(content: bytes, name: str) -> None:
    """Raise UserError that names each operator without a kernel in LiteRT for Microcontrollers, and its layers.

    Args:
        content: the .tflite file.
        name: of the file, for the words.
    """
    wrong: dict[str, list[str]] = {}
    for operator in operators(content):
        layer = operator.outputs[0].name.partition(";")[0]
        if operator.name not in OPERATORS:
            wrong.setdefault(f"no operator {operator.name}", []).append(layer)
        for dtype in sorted({tensor.dtype for tensor in _computed(operator)} - TYPES):
            wrong.setdefault(f"not every kernel for {dtype}", []).append(layer)
    if wrong:
        listed = "; ".join(
            f"{what} ({', '.join(layers[:3])}{' …' * (len(layers) > 3)})" for what, layers in wrong.items()
        )
        raise UserError(
            f"{name} cannot run on a microcontroller: LiteRT for Microcontrollers has {listed}: use other "
            "layers there, or activations of 8 bits"
        )


def _computed(operator: Operator) -> Iterator[Tensor]:
    return (one for one in (*operator.inputs, *operator.outputs) if one is not None and one.data is None)


def _header(content: bytes, labels: int, preprocessing: Preprocessing, arena: int) -> Iterator[str]:
    (source,) = inputs(content)
    result = operators(content)[-1].outputs[0]
    yield "// The model for LiteRT for Microcontrollers: made by qatflow from model.tflite. Do not edit."
    yield "#ifndef QATFLOW_MODEL_H_"
    yield "#define QATFLOW_MODEL_H_"
    yield "#include <cstddef>"
    yield ""
    yield "extern const unsigned char kModel[];"
    yield f"constexpr std::size_t kModelBytes = {len(content)};"
    yield ""
    yield f"// Bytes for the tensors between operators, as qatflow plans them, each aligned to {ALIGNMENT} bytes."
    yield "// The interpreter's arena must be larger: it also holds its own structures and scratch memory of the"
    yield "// kernels, which depend on the board."
    yield f"constexpr std::size_t kPlannedTensorBytes = {arena};"
    yield ""
    for name, tensor in (("Input", source), ("Output", result)):
        shape = " x ".join(map(str, tensor.shape))
        yield f"// {tensor.dtype}, shape {shape}; a scale of 0 means that values are float32."
        scale, zero = (tensor.scale[0], tensor.zero_point[0]) if tensor.scale.size else (0.0, 0)
        yield f"constexpr float k{name}Scale = {_float(scale)};"
        yield f"constexpr int k{name}ZeroPoint = {int(zero)};"
    yield ""
    yield f"// A picture: resized ({preprocessing.resize}), channels in the order {preprocessing.order}. Then each"
    yield "// pixel of channel c is (pixel - kMean[c]) * kInverseStd[c] in float32. With an input scale, that value is"
    yield "// divided by the scale, rounded to the nearest integer (ties to even), and the zero point is added."
    yield f"constexpr int kInputHeight = {preprocessing.size.height};"
    yield f"constexpr int kInputWidth = {preprocessing.size.width};"
    yield f"constexpr int kInputChannels = {preprocessing.channels};"
    yield "extern const float kMean[kInputChannels];"
    yield "extern const float kInverseStd[kInputChannels];"
    yield ""
    yield f"constexpr int kClasses = {labels};"
    yield "extern const char* const kLabels[kClasses];"
    yield ""
    yield "#endif  // QATFLOW_MODEL_H_"


def _source(content: bytes, labels: Sequence[str], preprocessing: Preprocessing) -> Iterator[str]:
    yield f'#include "{HEADER}"'
    yield ""
    yield f"alignas({ALIGNMENT}) const unsigned char kModel[] = {{"
    for start in range(0, len(content), LINE):
        yield f"    {', '.join(f'0x{byte:02x}' for byte in content[start : start + LINE])},"
    yield "};"
    channels = preprocessing.channels
    inverse = _each(preprocessing.scale.tolist(), channels)
    yield f"const float kMean[] = {{{', '.join(map(_float, _each(preprocessing.mean, channels)))}}};"
    yield f"const float kInverseStd[] = {{{', '.join(map(_float, inverse))}}};"
    yield "const char* const kLabels[] = {"
    yield from (f"    {_quoted(label)}," for label in labels)
    yield "};"


def _each(values: Sequence[float], channels: int) -> list[float]:
    return list(values) if len(values) == channels else list(values) * channels


def _float(value: float) -> str:
    """Return a float32 as C++ writes it, with all its digits."""
    text = f"{float(np.float32(value)):.9g}"
    return f"{text}{'' if '.' in text or 'e' in text else '.0'}f"


def _quoted(text: str) -> str:
    """Return a C++ string of the text's UTF-8; what is not plain ASCII as octal, which cannot run into the next one."""
    plain = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}
    return '"' + "".join(plain.get(byte, f"\\{byte:03o}") for byte in text.encode()) + '"'
