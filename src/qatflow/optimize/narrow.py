"""Whether a model that came quantised has weights of fewer than 8 bits, so that a packed file of it is worth making."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qatflow.base.sums import read_checked
from qatflow.graph.store import load
from qatflow.models.onnx.file import is_onnx
from qatflow.models.onnx.quantised_graph import quantised_onnx
from qatflow.tflite.packing import MOST, packed_width
from qatflow.tflite.read import Operator, operators, operators_of_file


@dataclass(frozen=True)
class KernelWidths:
    """How many weights a model's kernels have.

    Attributes:
        narrow: those in kernels whose integers all need fewer than 8 bits in a packed file.
        all: those in all kernels.
    """

    narrow: int
    all: int

    @property
    def packs(self) -> bool:
        """Whether a packed file is made: most weights need fewer than 8 bits."""
        return 2 * self.narrow > self.all

    def text(self) -> str:
        """Return the two numbers in words."""
        return f"{self.narrow:,} of {self.all:,} weights are in kernels that need fewer than 8 bits"


def kernel_widths(model: Path) -> KernelWidths:
    """Return the widths of a quantised model's kernels, by its integers.

    Args:
        model: a .tflite or .onnx file, or a folder with `model` and `weights`.

    Raises:
        UserError: it is damaged, or no such model.
        OSError: it cannot be read.
    """
    if model.is_dir() or is_onnx(model):
        graph = load(model) if model.is_dir() else quantised_onnx(model).graph
        kernels = [graph.weights[node.kernel] for node in graph.nodes if node.kernel is not None]
        return _of([kernel if kernel.dtype == np.int8 else None for kernel in kernels], [k.size for k in kernels])
    return _of_operators(operators_of_file(read_checked(model), str(model)))


def widths_of(content: bytes) -> KernelWidths:
    """Return the widths of the kernels of a .tflite file's content; one that is not int8 or INT4 is not narrow."""
    return _of_operators(operators(content))


def _of_operators(every: list[Operator]) -> KernelWidths:
    kernels = [operator.kernel for operator in every if operator.kernel is not None]
    integers = [kernel.data if kernel.dtype in ("INT8", "INT4") else None for kernel in kernels]
    return _of(integers, [int(np.prod(kernel.shape)) for kernel in kernels])


def _of(integers: list[np.ndarray | None], sizes: list[int]) -> KernelWidths:
    pairs = zip(integers, sizes, strict=True)
    narrow = sum(size for values, size in pairs if values is not None and packed_width(values)[0] <= MOST)
    return KernelWidths(narrow, sum(sizes))
