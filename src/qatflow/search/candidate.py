"""What is tried, and what it came to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qatflow.base.sums import read_sealed

Tokens = tuple[int, ...]
"""A candidate as whole numbers, one a thing that is searched, each below that place of the range table."""


@dataclass(frozen=True)
class Size:
    """What a candidate costs.

    Attributes:
        multiply_adds: of one picture.
        parameters: elements of all its weights.
        latency: of one picture by the latency table; None where the search has none.
        latency_unit: of that: `instructions` or `ms`.
    """

    multiply_adds: int
    parameters: int
    latency: float | None = None
    latency_unit: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A network that is to be tried.

    Attributes:
        number: within the search, counted from 1.
        tokens: it as the controller knows it.
        size: what it costs.
        about: the same as its space describes it, as plain JSON values: `{"ratios": {group: share}}` in pruning.
    """

    number: int
    tokens: Tokens
    size: Size
    about: Mapping[str, Any]

    @staticmethod
    def of(found: Mapping[str, Any]) -> "Candidate":
        """Return what `asdict` made plain JSON values of."""
        return Candidate(found["number"], tuple(found["tokens"]), Size(**found["size"]), found["about"])


@dataclass(frozen=True)
class Outcome:
    """A candidate that was tried.

    Attributes:
        candidate: what was tried.
        metric: accuracy on the validation pictures, a share of 1.
        reward: what the controller takes it for.
    """

    candidate: Candidate
    metric: float
    reward: float

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self.candidate), "metric": self.metric, "reward": self.reward}

    @staticmethod
    def of(found: Mapping[str, Any]) -> "Outcome":
        """Return what `to_json` made plain JSON values of."""
        return Outcome(Candidate.of(found), found["metric"], found["reward"])


def read_outcomes(files: Sequence[Path]) -> list[Outcome]:
    """Return the outcomes in the files of evaluated candidates, by the candidates' numbers."""
    found = [Outcome.of(read_sealed(path)) for path in files]
    return sorted(found, key=lambda outcome: outcome.candidate.number)
