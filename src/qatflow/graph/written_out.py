"""Operations that stand in a graph only while it is translated: parts of what models write out in arithmetic.

`patterns.py` makes one operation of such parts. What is left of them cannot be translated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast, get_args

from qatflow.graph.graph import Graph, Node
from qatflow.graph.kinds import Kind, Shape, broadcast
from qatflow.graph.operations import Operation


def _same(o: Any, sources: Sequence[Shape], kernel: Shape) -> Shape:
    return sources[0]


@dataclass(frozen=True)
class Erf:
    """The error function of each value."""

    KIND: ClassVar[Kind] = Kind((1, 1), "each", _same)
    WITHIN: ClassVar[str] = "is only known within a GELU, x · (1 + erf(x / √2)) / 2"


@dataclass(frozen=True)
class SquareRoot:
    """The square root of each value."""

    KIND: ClassVar[Kind] = Kind((1, 1), "each", _same)
    WITHIN: ClassVar[str] = "is only known within a layer-norm"


@dataclass(frozen=True)
class Quotient:
    """One tensor divided by another one, broadcast like `Add`."""

    KIND: ClassVar[Kind] = Kind((2, 2), "together", lambda o, sources, kernel: broadcast(sources))
    WITHIN: ClassVar[str] = "divides by a tensor; known are constants, and the deviation of a layer-norm"


@dataclass(frozen=True)
class MeanOfLast:
    """The mean over the last axis, which stays with the length 1."""

    KIND: ClassVar[Kind] = Kind((1, 1), "mixed", lambda o, sources, kernel: (*sources[0][:-1], 1))
    WITHIN: ClassVar[str] = "is over the channels: only over height and width, or within a layer-norm"


WrittenOut = Erf | SquareRoot | Quotient | MeanOfLast
WRITTEN_OUT: tuple[type, ...] = get_args(WrittenOut)


def as_operation(part: WrittenOut) -> Operation:
    """Return a part for a node of the graph, which has it until the graph is whole."""
    return cast(Operation, part)


def left_over(graph: Graph) -> Iterator[tuple[Node, str]]:
    """Yield each node that no pattern has taken, and why it cannot be translated."""
    for node in graph.nodes:
        if isinstance(node.operation, WRITTEN_OUT):
            yield node, str(getattr(node.operation, "WITHIN"))  # noqa: B009
