"""Layers of a .tflite model for which the run-time has no fast kernels."""

from collections.abc import Iterator

from qatflow.graph.slow_kernels import INT4_COST, WIDE_COST
from qatflow.tflite.int4 import unpacked_at_each_call
from qatflow.tflite.read import WEIGHTED, operators


def slow_layers(content: bytes) -> Iterator[str]:
    """Yield a warning if a .tflite file has layers with int16 tensors, or convolutions with INT4 kernels."""
    layers = [operator for operator in operators(content) if operator.name in WEIGHTED]
    wide = [operator for operator in layers if operator.outputs[0].dtype == "INT16"]
    if wide:
        yield f"{len(wide)} of {len(layers)} layers with weights compute in int16; {WIDE_COST}"
    packed = unpacked_at_each_call(layers)
    if packed:
        yield f"{len(packed)} of {len(layers)} layers with weights have INT4 kernels; {INT4_COST}"
