"""TensorFlow Lite's operators with int16 tensors, beside int8 kernels and int64 biases.

They are LiteRT's own C++, not XNNPACK's: the same on ARM and x86, and many times slower than the int8 kernels. All
zero points are 0.
"""

from qatflow.graph.operator_bits import WIDE

VERSIONS = {
    "CONV_2D": 4, "DEPTHWISE_CONV_2D": 5, "FULLY_CONNECTED": 7, "TRANSPOSE_CONV": 4,
    "ADD": 3, "SUB": 5, "MUL": 4, "MAXIMUM": 4, "MINIMUM": 4, "CONCATENATION": 3,
    "RELU": 3, "RELU6": 3, "LEAKY_RELU": 2, "PRELU": 1, "LOGISTIC": 3, "TANH": 3,
    "AVERAGE_POOL_2D": 3, "MAX_POOL_2D": 3, "MEAN": 3, "REDUCE_MAX": 3,
    "PAD": 3, "PADV2": 3, "SLICE": 4, "TRANSPOSE": 5, "RESHAPE": 1, "RESIZE_BILINEAR": 4, "RESIZE_NEAREST_NEIGHBOR": 4,
    "QUANTIZE": 2, "DEQUANTIZE": 3,
}  # fmt: skip
"""Oldest version of each operator with int16 tensors (LiteRT's `op_version.cc`)."""


def version_of(operator: str, int8_version: int, bits: int) -> int:
    """Return the version of an operator with tensors of that width."""
    return VERSIONS[operator] if bits == WIDE else int8_version
