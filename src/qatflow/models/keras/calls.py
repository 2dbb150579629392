"""A call of a function of TensorFlow's outside of layers, whose translations are in `arithmetic.py` and `moving.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qatflow.graph.operations import Operation
from qatflow.models.keras.library import UntranslatableError
from qatflow.models.keras.translation import Translation


class UnseenError(Exception):
    """Something is asked that a model's description alone does not say."""


class Undescribed(tuple[int | None, ...]):
    """A shape, without the batch, that is not known, but perhaps its length is; who asks for more gets an UnseenError.

    Attributes:
        rank: its length; None: not known.
    """

    rank: int | None

    def __new__(cls, rank: int | None = None) -> "Undescribed":
        """Return it."""
        made = super().__new__(cls)
        made.rank = rank
        return made

    def __len__(self) -> int:
        """Return its length, if that is known."""
        if self.rank is None:
            raise UnseenError
        return self.rank

    def _unseen(self, *_: Any) -> Any:
        raise UnseenError

    __iter__ = __getitem__ = __contains__ = __bool__ = __eq__ = __hash__ = _unseen


UNKNOWN = Undescribed()


@dataclass(frozen=True)
class Source:
    """A tensor that is an argument of a function: the node that computes it, and its shape without the batch."""

    node: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Call:
    """A call of a function.

    Attributes:
        to: the graph under construction.
        name: of the node that computes the result.
        batch: size of the batch, usually None.
        output: shape of the result, with the batch.
    """

    to: Translation
    name: str
    batch: int | None
    output: tuple[int | None, ...]

    def result(self, operation: Operation, *sources: Source | str, weights: Mapping[str, Any] | None = None) -> str:
        """Add the node that computes the result."""
        return self.step("", operation, *sources, weights=weights)

    def step(
        self, last: str, operation: Operation, *sources: Source | str, weights: Mapping[str, Any] | None = None
    ) -> str:
        """Add a node whose name ends in `last`."""
        nodes = tuple(source.node if isinstance(source, Source) else source for source in sources)
        return self.to.add(f"{self.name}/{last}" if last else self.name, operation, nodes, weights)


def channels_last(data_format: Any) -> None:
    """Raise if channels come first."""
    if data_format not in (None, "NHWC", "N...C", "channels_last"):
        raise UntranslatableError("channels come first; they must come last")
