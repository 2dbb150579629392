"""The shipped model in LiteRT's own tools on a GPU or an NPU: the commands, and which operators would be refused."""

from collections.abc import Callable, Mapping, Sequence
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
QUALCOMM_OPERATORS = frozenset(
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
QUALCOMM_SOURCE = (
    "LiteRT's plugin for Qualcomm, litert/vendors/qualcomm/compiler/qnn_compose_graph.cc at commit 00120bd; later "
    "versions differ"
)
MEDIATEK_OPERATORS = frozenset(
    (
        "ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CAST", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D",
        "DEQUANTIZE", "DIV", "FULLY_CONNECTED", "GELU", "GREATER", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM",
        "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PAD", "PADV2", "PRELU", "QUANTIZE", "REDUCE_MAX", "RELU", "RESHAPE",
        "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX", "SPLIT", "SQRT",
        "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
    )
)  # fmt: skip
MEDIATEK_SOURCE = (
    "LiteRT's plugin for MediaTek, litert/vendors/mediatek/compiler/compiler_plugin.cc at commit 8714dad, which also "
    "looks at types and asks MediaTek's own compiler; later versions differ"
)
"""`kSupportedOps`."""
NOT_GOOGLE_TENSOR = frozenset(
    (
        "ASSIGN_VARIABLE", "BIDIRECTIONAL_SEQUENCE_LSTM", "BROADCAST_ARGS", "BUCKETIZE", "CALL_ONCE", "COMPLEX_ABS",
        "CONV_3D", "CONV_3D_TRANSPOSE", "CUSTOM", "DENSIFY", "FAKE_QUANT", "HASHTABLE", "HASHTABLE_FIND",
        "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "IMAG", "LOCAL_RESPONSE_NORMALIZATION", "MATRIX_DIAG", "MATRIX_SET_DIAG",
        "MULTINOMIAL", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM",
        "RANK", "READ_VARIABLE", "REAL", "REDUCE_PROD", "REVERSE_SEQUENCE", "RFFT2D", "SEGMENT_SUM", "SHAPE",
        "SPARSE_TO_DENSE", "STABLEHLO_COMPOSITE", "STABLEHLO_SCATTER", "SVDF", "UNIDIRECTIONAL_SEQUENCE_RNN", "UNIQUE",
        "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_SUM", "VAR_HANDLE",
        "WHERE",
    )
)  # fmt: skip
GOOGLE_TENSOR_SOURCE = (
    "LiteRT's plugin for Google Tensor, litert/vendors/google_tensor/compiler/compiler_plugin.cc at commit 91f2115, "
    "which leaves all else to a compiler that is not open and may refuse more; later versions differ"
)
"""`kUnSupportedOps`."""


@dataclass(frozen=True)
class HandOver:
    """The shipped model on one kind of accelerator.

    Attributes:
        accelerator: `GPU`, or `NPU` with the vendor, whose plugin of LiteRT decides.
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
    """Return the shipped model on GPU and on each vendor's NPU, judged by its operators and their types alone.

    Args:
        content: the .tflite file.
        name: path of the file, of which the command has the last part.
    """
    listed = operators(content)
    file = PurePosixPath(name).name
    command = f"benchmark_model --graph={file}"
    return (
        HandOver("GPU", f"{command} --use_gpu", _refused(listed, _gpu_takes), GPU_SOURCE),
        *(
            HandOver(f"NPU ({vendor})", f"{command} --use_npu", _refused(listed, takes), source)
            for vendor, (takes, source) in NPUS.items()
        ),
    )


def _gpu_takes(operator: Operator) -> bool:
    tensors = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    computed = [tensor for tensor in tensors if tensor.data is None]
    return (
        operator.name in GPU_OPERATORS
        and all(tensor.dtype in GPU_TYPES for tensor in computed)
        and all(len(tensor.shape) < 5 for tensor in tensors)
    )


NPUS: Mapping[str, tuple[Callable[[Operator], bool], str]] = {
    "Qualcomm": (lambda operator: operator.name in QUALCOMM_OPERATORS, QUALCOMM_SOURCE),
    "MediaTek": (lambda operator: operator.name in MEDIATEK_OPERATORS, MEDIATEK_SOURCE),
    "Google Tensor": (lambda operator: operator.name not in NOT_GOOGLE_TENSOR, GOOGLE_TENSOR_SOURCE),
}
"""By vendor, whether LiteRT's plugin takes an operator by its name, and where that is from."""


def _refused(listed: Sequence[Operator], takes: Callable[[Operator], bool]) -> tuple[str, ...]:
    layers: dict[str, list[str]] = {}
    for operator in listed:
        if not takes(operator):
            layers.setdefault(operator.name, []).append(operator.outputs[0].name.partition(";")[0])
    return tuple(_words(name, of) for name, of in layers.items())


def _words(name: str, layers: Sequence[str]) -> str:
    shown = ", ".join(layers[:3])
    return f"{name}: {shown}" + (f" and {len(layers) - 3} more" if len(layers) > 3 else "")
