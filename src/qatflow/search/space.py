"""What a search space is: the networks that tokens stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from qatflow.config.recipe.recipe import CompressConfig
from qatflow.graph.graph import Graph
from qatflow.search.candidate import Size, Tokens


@dataclass(frozen=True)
class SearchSetup:
    """What search spaces are made from.

    Attributes:
        config: the compress YAML.
        graph: float graph that training would begin with.
        seed: of weights that a space makes.
        latency: latency table of the device; None where the search needs none.
        inputs: files that all this was read from.
        keep_in_float: texts in the names of layers that stay in float, as well as those of the YAML's skip_pattern.
    """

    config: CompressConfig
    graph: Graph
    seed: int = 1
    latency: Path | None = None
    inputs: tuple[Path, ...] = ()
    keep_in_float: tuple[str, ...] = ()


class Space(Protocol):
    """The networks among which the best is searched: pure functions of tokens, without TensorFlow."""

    @property
    def range_table(self) -> tuple[int, ...]:
        """Number of values of each token."""
        ...

    @property
    def initial(self) -> Tokens:
        """The tokens that the search begins with, if the YAML gives none."""
        ...

    def graph(self, tokens: Tokens) -> Graph:
        """Return the network that tokens stand for, in float, with the weights that its training begins with."""
        ...

    def size(self, tokens: Tokens) -> Size:
        """Return what that network costs."""
        ...

    def refused(self, tokens: Tokens) -> str:
        """Return why tokens do not keep the limits of the search; an empty text if they do."""
        ...

    def network(self, tokens: Tokens) -> Tokens:
        """Return the same for tokens that stand for the same network, which is then not evaluated twice."""
        ...

    def described(self, tokens: Tokens) -> Mapping[str, Any]:
        """Return a description of the network, as plain JSON values."""
        ...
