"""Checks of what was read from a stored graph. Each function raises DamagedError with the first fault."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

import numpy as np

from qatflow.graph.described import DamagedError
from qatflow.graph.families import PASS_THROUGH, fixed_grid
from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import kind_of
from qatflow.graph.operations import BatchNorm, Between, Input
from qatflow.graph.shifted import without_shared_zeros

Bits = Annotated[int, Between(2, 16)]


class Quantised(Protocol):
    """What is stored about a quantised tensor."""

    @property
    def bits(self) -> int:
        """Width of its integers."""
        ...

    @property
    def zero_point(self) -> int:
        """The integer that stands for 0."""
        ...

    @property
    def dynamic(self) -> bool:
        """Whether its scale is computed for each input."""
        ...


def check_names(nodes: Sequence[Node], outputs: Sequence[str], aliases: Mapping[str, str]) -> None:
    """Check that names are unique, that outputs and aliases name nodes, and that inputs name earlier nodes."""
    known: set[str] = set()
    for node in nodes:
        kind = type(node.operation).__name__
        if node.name in known:
            raise DamagedError(f"two nodes have the name '{node.name}'")
        least, most = kind_of(node.operation).inputs
        if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
            wanted = f"{least} or more" if most is None else " or ".join(str(n) for n in range(least, most + 1))
            raise DamagedError(f"node '{node.name}' ({kind}) has {len(node.inputs)} inputs, and needs {wanted}")
        for name in node.inputs:
            if name not in known:
                raise DamagedError(f"node '{node.name}' reads '{name}', but no earlier node has that name")
        known.add(node.name)
    if not outputs:
        raise DamagedError("it has no outputs")
    if len(set(outputs)) != len(outputs):
        raise DamagedError("an output is listed twice")
    for entry, names in (("outputs", outputs), ("aliases", aliases.values())):
        for name in names:
            if name not in known:
                raise DamagedError(f"{entry} has '{name}', but no node has that name")
    needed = set(outputs)
    for node in reversed(nodes):
        if node.name not in needed:
            raise DamagedError(f"node '{node.name}' leads to no output")
        needed.update(node.inputs)


def check_quantised(
    nodes: Sequence[Node],
    weight_bits: Mapping[str, int],
    activations: Mapping[str, Quantised],
    in_float: Sequence[str],
) -> None:
    """Check that everything marked as quantised, or as kept in float, exists and may be marked so."""
    kernels = {node.kernel for node in nodes} | {node.operand for node in nodes if _has_own_scale(node)}
    by_name = {node.name: node for node in nodes}
    for name in weight_bits:
        if name not in kernels:
            raise DamagedError(f"weight_bits has '{name}', but no node has such a weight that is quantised")
    for name, about in activations.items():
        if name not in by_name:
            raise DamagedError(f"activations has '{name}', but no node has that name")
        if isinstance(by_name[name].operation, PASS_THROUGH):
            raise DamagedError(f"activations has '{name}', which takes its scale from the tensor that it passes on")
        end = 2 ** (about.bits - 1)
        if not -end <= about.zero_point < end:
            raise DamagedError(f"the zero point of '{name}' is {about.zero_point}, too large for {about.bits} bits")
        if about.dynamic and about.zero_point not in (0, -end):
            raise DamagedError(f"the zero point of '{name}' is {about.zero_point}; without a scale it is 0 or {-end}")
    if len(set(in_float)) != len(in_float):
        raise DamagedError("a name is listed twice in in_float")
    for name in in_float:
        node = by_name.get(name)
        if node is None:
            raise DamagedError(f"in_float has '{name}', but no node has that name")
        if isinstance(node.operation, (Input, *PASS_THROUGH)) or {node.kernel, node.operand} & set(weight_bits):
            raise DamagedError(f"in_float has '{name}', which cannot be kept in float this way")


def _has_own_scale(node: Node) -> bool:
    operand = kind_of(node.operation).operand
    return operand is not None and operand.own_scale


def check_untrained(nodes: Sequence[Node], frozen: Sequence[str], moving_statistics: Sequence[str]) -> None:
    """Check that what training leaves as it is exists, and has something to leave."""
    by_name = {node.name: node for node in nodes}
    for entry, names in (("frozen", frozen), ("moving_statistics", moving_statistics)):
        if len(set(names)) != len(names):
            raise DamagedError(f"a name is listed twice in {entry}")
        for name in names:
            if name not in by_name:
                raise DamagedError(f"{entry} has '{name}', but no node has that name")
            if entry == "moving_statistics" and not isinstance(by_name[name].operation, BatchNorm):
                raise DamagedError(f"{entry} has '{name}', which has none")


def check_stored(names: Mapping[str, bool], arrays: Mapping[str, np.ndarray], weight_bits: Mapping[str, int]) -> None:
    """Check names, types and values of the arrays.

    Args:
        names: the arrays that may exist, and for each whether it must.
        arrays: the arrays that exist.
        weight_bits: width of the integers of each integer kernel, by its name.
    """
    for name, needed in names.items():
        if needed and name not in arrays:
            raise DamagedError(f"'{name}' is missing")
    for name, values in arrays.items():
        if name not in names:
            raise DamagedError(f"'{name}' belongs to no node")
        bits = weight_bits.get(name)
        integers = bits is not None and values.dtype == (np.int8 if bits <= 8 else np.int16)
        if values.dtype != np.float32 and not integers:
            raise DamagedError(f"'{name}' has the wrong type {values.dtype}")
        if not np.isfinite(values).all():
            raise DamagedError(f"'{name}' has values that are not finite numbers")
        if bits is not None:
            _check_integers(name, values, bits)
        if name.endswith("/moving_variance") and (values < 0).any():
            raise DamagedError(f"'{name}' has values below 0")
        if name.endswith(".scale") and (values.ndim != 1 or not values.size or (values <= 0).any()):
            raise DamagedError(f"'{name}' is not a row of values above 0")


def _check_integers(name: str, values: np.ndarray, bits: int) -> None:
    end = 2 ** (bits - 1) - 1
    limit = max(end, 127)
    if (values != np.rint(values)).any() or (np.abs(values.astype(np.float32)) > limit).any():
        raise DamagedError(f"'{name}' has values that are not integers from {-limit} to {limit}")
    integers, _ = without_shared_zeros(values.astype(np.int32))
    if (np.abs(integers) > end).any():
        raise DamagedError(
            f"'{name}' has values that are not integers from {-end} to {end}, or these times one power of 2"
        )


def check_scales(graph: Graph) -> None:
    """Check that each kernel has one scale, or one per channel, and that outputs with a fixed scale have that one."""
    for node in graph.nodes:
        scale = graph.weight_scales.get(node.kernel or "")
        layout = node.layout
        if scale is not None and layout is not None and node.kernel is not None:
            shape = graph.weights[node.kernel].shape
            if len(shape) == layout.rank and scale.scale.size not in (1, layout.channels(shape)):
                channels = layout.channels(shape)
                raise DamagedError(f"'{node.kernel}' has {scale.scale.size} scales for {channels} channels")
        operand = graph.weight_scales.get(node.operand or "")
        if operand is not None and operand.scale.size != 1:
            raise DamagedError(f"'{node.operand}' has {operand.scale.size} scales, but takes one")
        known = graph.activation_scales.get(node.name)
        fixed = None if known is None else fixed_grid(node.operation, known.bits)
        if known is not None and fixed is not None and (known.scale, known.zero_point) != fixed:
            raise DamagedError(f"'{node.name}' does not have the scale that its int{known.bits} kernel writes in")
