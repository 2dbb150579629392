"""Layers of a .tflite model for which the run-time has no fast kernels."""

from collections.abc import Iterator

from qatflow.graph.wide_cost import WIDE_COST
from qatflow.tflite.read import WEIGHTED, operators


def slow_layers(content: bytes) -> Iterator[str]:
    """Yield a warning if a .tflite file has layers with int16 tensors."""
    layers = [operator for operator in operators(content) if operator.name in WEIGHTED]
    wide = [operator for operator in layers if operator.outputs[0].dtype == "INT16"]
    if wide:
        yield f"{len(wide)} of {len(layers)} layers with weights compute in int16; {WIDE_COST}"
