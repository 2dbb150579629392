"""The precisions that a layer can have: the width of its weights and of its output, or float."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qatflow.config.recipe.auto_bits import AutoBitsSection
from qatflow.config.recipe.widths import DEFAULT, DEVICE, WIDE
from qatflow.graph.graph import ActivationScale, Graph
from qatflow.graph.layer_texts import exactly
from qatflow.graph.operator_bits import without_int16_kernel
from qatflow.quantisation.placement import QuantSettings, nodes_in_float, quantised_kernels, quantised_tensors
from qatflow.quantisation.widths import tensor_bits

IN_FLOAT = 32
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Precision:
    """How a layer computes.

    Attributes:
        weights: bits of its kernel's values; 32: the layer stays in float.
        activations: bits of its output, 8 or 16; of a layer in float what reads it decides, and this is 32.
    """

    weights: int
    activations: int = DEVICE

    @property
    def in_float(self) -> bool:
        """Whether the layer stays in float, as those of skip_pattern do."""
        return self.weights == IN_FLOAT

    @property
    def gains(self) -> bool:
        """Whether this may be nearer to float than weights of any width with an int8 output."""
        return self.in_float or self.activations > DEVICE

    def __str__(self) -> str:
        """Return `4`, `8/16` for weights of 8 bits and an output of 16, or `float`."""
        return "float" if self.in_float else f"{self.weights}" + (f"/{WIDE}" if self.activations == WIDE else "")

    @staticmethod
    def of(text: str) -> "Precision":
        """Return the precision that `str` gives as this text."""
        if text == str(FLOAT):
            return FLOAT
        weights, _, activations = text.partition("/")
        return Precision(int(weights), int(activations or DEVICE))

    def bytes(self, values: int) -> int:
        """Return the bytes of a kernel with that many values, packed to their width."""
        return FLOAT_BYTES * values if self.in_float else -(-values * self.weights // 8)


FLOAT = Precision(IN_FLOAT, IN_FLOAT)


def possible(section: AutoBitsSection, wide: bool) -> tuple[Precision, ...]:
    """Return the precisions that a layer may get, the one that it is measured against first.

    Args:
        section: which ones are wanted.
        wide: whether the layer's output can have 16 bits.
    """
    outputs = (DEVICE, WIDE) if section.wide_activations and wide else (DEVICE,)
    every = (Precision(bits, output) for output in outputs for bits in section.tried_widths)
    return (*every, *([FLOAT] * section.float_layers))


def without_wide_output(graph: Graph, settings: QuantSettings, layers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each of some layers whose output cannot have 16 bits, and why: what reads it has no int16 kernel.

    Args:
        graph: in float.
        settings: how it is quantised.
        layers: names of nodes with a kernel that is quantised.
    """
    kernels = quantised_kernels(graph, settings.quantizable_op_type, settings.skip_pattern)
    tensors = quantised_tensors(graph, kernels, settings.skip_pattern)
    kept = nodes_in_float(graph, settings.skip_pattern)
    for name in layers:
        bits = tensor_bits(graph, tensors, {exactly_pattern(name): WIDE})
        scales = {tensor: ActivationScale(width, 1.0) for tensor, width in bits.items()}
        problems = list(without_int16_kernel(replace(graph, activation_scales=scales, in_float=kept)))
        if problems:
            yield name, problems[0]


def as_settings(kernels: Mapping[str, str], precisions: Mapping[str, Precision], skip: Sequence[str]) -> dict[str, Any]:
    """Return the keys of a QuantizationStrategy that give each layer its precision.

    Args:
        kernels: name of each layer's kernel.
        precisions: of each layer.
        skip: texts in the names of layers that stay in float anyway.
    """
    quantised = {name: one for name, one in precisions.items() if not one.in_float}
    wide = [name for name, one in quantised.items() if one.activations == WIDE]
    return {
        "weight_bits": {exactly_pattern(kernels[name]): one.weights for name, one in quantised.items()},
        "activation_bits": {DEFAULT: DEVICE, **{exactly_pattern(name): WIDE for name in wide}} if wide else DEVICE,
        "skip_pattern": [*skip, *(exactly(name) for name, one in precisions.items() if one.in_float)],
    }


def exactly_pattern(name: str) -> str:
    """Return the regular expression that matches a name alone."""
    return f"{re.escape(name)}$"
