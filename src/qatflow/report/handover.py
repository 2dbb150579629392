"""The shipped model in LiteRT's own tools on a GPU or an NPU: the commands, and which operators would be refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from qatflow.tflite.read import Operator, operators

GPU_OPERATORS = frozenset(
    (
        "ABS", "ADD", "ADD_N", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CAST", "CONCATENATION", "CONV_2D", "COS",
        "CUMSUM", "DENSIFY", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV", "EQUAL", "ELU", "EXP",
        "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "FULLY_CONNECTED", "GATHER", "GELU", "GREATER", "GREATER_EQUAL",
        "HARD_SWISH", "LESS", "LESS_EQUAL", "LOGISTIC", "LOG", "LOGICAL_AND", "LSTM", "MAXIMUM", "MAX_POOL_2D",
        "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL", "ONE_HOT", "PACK", "PAD", "PADV2", "POW",
        "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1",
        "LEAKY_RELU", "PRELU", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT",
        "SELECT_V2", "SIGN", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT", "SQUARE",
        "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE", "TRANSPOSE", "TRANSPOSE_CONV",
        "UNPACK",
    )
)  # fmt: skip
GPU_TYPES = frozenset(("FLOAT32", "FLOAT16", "INT8", "UINT8"))
GPU_SOURCE = (
    "LiteRT's open GPU delegate, tflite/delegates/gpu/common/model_builder.cc at commit 34ec5ba; what Android's GPU "
    "accelerator of LiteRT 2 takes, which is not open, may differ"
)
"""`NewOperationParser`, with quantised operators, and `GetOpsToReplace`, which also looks at types and at 5 dimensions.

Builtin names are those of the schema; some of these operators are refused for their parameters too.
"""
NPU_OPERATORS = frozenset(
    (
        "CAST", "CONCATENATION", "ADD", "LOGICAL_AND", "COS", "DIV", "GREATER", "LESS", "MUL", "RSQRT", "SIN",
        "SQUARED_DIFFERENCE", "SQUARE", "SUB", "MINIMUM", "MAXIMUM", "FLOOR_DIV", "NOT_EQUAL", "EMBEDDING_LOOKUP",
        "FULLY_CONNECTED", "GATHER", "GELU", "RELU", "RELU6", "LOGISTIC", "BATCH_MATMUL", "MEAN", "QUANTIZE",
        "DEQUANTIZE", "SUM", "RESHAPE", "SELECT", "SELECT_V2", "SLICE", "SOFTMAX", "SPLIT", "TANH", "TRANSPOSE",
        "PACK", "DYNAMIC_UPDATE_SLICE", "CONV_2D", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D",
        "MAX_POOL_2D", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "HARD_SWISH", "LEAKY_RELU", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "PAD", "PADV2", "CUMSUM", "GATHER_ND", "POW",
    )
)  # fmt: skip
NPU_SOURCE = (
    "LiteRT's plugin for Qualcomm, litert/vendors/qualcomm/compiler/qnn_compose_graph.cc at commit 00120bd; other "
    "vendors and later versions differ"
)


@dataclass(frozen=True)
class HandOver:
    """The shipped model on one kind of accelerator.

    Attributes:
        accelerator: `GPU` or `NPU`.
        command: of LiteRT's `benchmark_model` (litert/tools/README.md), to be run beside the model on the device.
        refused: the operators that would be refused and then run on the CPU: `NAME: layer, layer, …`.
        source: of what is refused.
    """

    accelerator: str
    command: str
    refused: tuple[str, ...]
    source: str

    def text(self) -> str:
        """Return it in one line."""
        said = f"would be refused: {'; '.join(self.refused)}" if self.refused else "no operator would be refused"
        return f"{self.accelerator}: `{self.command}`; {said} (by {self.source})"


def hand_over(content: bytes, name: str) -> tuple[HandOver, ...]:
    """Return the shipped model on GPU and NPU, judged by its operators and their types alone.

    Args:
        content: the .tflite file.
        name: path of the file, of which the command has the last part.
    """
    listed = operators(content)
    file = PurePosixPath(name).name
    return (
        HandOver("GPU", f"benchmark_model --graph={file} --use_gpu", _refused(listed, _gpu_takes), GPU_SOURCE),
        HandOver("NPU", f"benchmark_model --graph={file} --use_npu", _refused(listed, _npu_takes), NPU_SOURCE),
    )


def _gpu_takes(operator: Operator) -> bool:
    tensors = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    computed = [tensor for tensor in tensors if tensor.data is None]
    return (
        operator.name in GPU_OPERATORS
        and all(tensor.dtype in GPU_TYPES for tensor in computed)
        and all(len(tensor.shape) < 5 for tensor in tensors)
    )


def _npu_takes(operator: Operator) -> bool:
    return operator.name in NPU_OPERATORS


def _refused(listed: Sequence[Operator], takes: Callable[[Operator], bool]) -> tuple[str, ...]:
    layers: dict[str, list[str]] = {}
    for operator in listed:
        if not takes(operator):
            layers.setdefault(operator.name, []).append(operator.outputs[0].name.partition(";")[0])
    return tuple(_words(name, of) for name, of in layers.items())


def _words(name: str, layers: Sequence[str]) -> str:
    shown = ", ".join(layers[:3])
    return f"{name}: {shown}" + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")
