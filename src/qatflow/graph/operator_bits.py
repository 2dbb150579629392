"""In which width the device computes an operation, and what lies between tensors of 8 and of 16 bits.

LiteRT's kernels read and write tensors of one type. An operation with a tensor of 16 bits computes in int16, and each
tensor has the width that was asked for: what the operation reads of 8 bits is widened before, which changes no value,
and what it writes of 8 bits is computed in int16, in steps as fine, and rounded after.
"""

from collections.abc import Iterator
from math import prod

from qatflow.graph.families import NO_INT16, PASS_THROUGH, fixed_grid
from qatflow.graph.graph import ActivationScale, Graph, Node
from qatflow.graph.kinds import Shape
from qatflow.graph.operations import AveragePool, GlobalAveragePool
from qatflow.graph.shapes import shapes

NARROW, WIDE = 8, 16
FINER = 128
"""Steps of int16 in a step of int8: the 256 integers of any zero point fit, since 255 · 128 < 2^15."""
MOST_AVERAGED = 2**16 - 1
"""Values of int16 that LiteRT's means and average pools add up in int32 without an overflow: the most n with
n · 2^15 + n / 2 ≤ 2^31, because half of n is added before the division."""


def operator_bits(graph: Graph, node: Node) -> int:
    """Return the width in which the device computes a node: that of its widest tensor, 8 if none is quantised."""
    own = () if isinstance(node.operation, PASS_THROUGH) else (node.name,)
    scales = [graph.activation_scale(name) for name in (*node.inputs, *own)]
    return max((scale.bits for scale in scales if scale is not None), default=NARROW)


def seen_in(bits: int, scale: ActivationScale) -> ActivationScale:
    """Return the grid in which an operator of that width reads or writes a tensor with a fixed scale."""
    if bits == WIDE and scale.bits == NARROW and scale.scale is not None:
        return ActivationScale(WIDE, scale.scale / FINER)
    return scale


def written_in(bits: int, node: Node, scale: ActivationScale) -> ActivationScale:
    """Return the grid in which a node's kernel of that width writes its tensor, which may be rounded once more."""
    fixed = fixed_grid(node.operation, bits)
    return seen_in(bits, scale) if fixed is None else ActivationScale(bits, *fixed)


def without_int16_kernel(graph: Graph) -> Iterator[str]:
    """Yield a line for each node of 16 bits that has no right int16 kernel, with what to do.

    Args:
        graph: quantised; the scales need not be those of a training.
    """
    known = shapes(graph)
    for node in graph.nodes:
        if node.name in graph.in_float or operator_bits(graph, node) != WIDE:
            continue
        kind = type(node.operation).__name__
        if isinstance(node.operation, NO_INT16):
            around = ", ".join(dict.fromkeys((*node.inputs, node.name)))
            yield (
                f"{node.name} ({kind} has no int16 kernel: give {around} 8 bits in activation_bits, or name the layer "
                "in model.keep_in_float)"
            )
        if node.inputs and _averaged(node, known[node.inputs[0]]) > MOST_AVERAGED:
            yield f"{node.name} (the int16 kernel of {kind} takes up to {MOST_AVERAGED} values: give it 8 bits)"
    for name, scale in graph.activation_scales.items():
        if scale.bits == WIDE and scale.zero_point:
            yield f"{name} (its zero point is {scale.zero_point}; the int16 kernels take 0 alone)"


def _averaged(node: Node, source: Shape) -> int:
    """Return how many values of a tensor of that shape a value of the node is the mean of, at most; 0 if of none."""
    match node.operation:
        case GlobalAveragePool():
            return prod(source[:-1])
        case AveragePool(window=window):
            return prod(map(min, window, source))
        case _:
            return 0
